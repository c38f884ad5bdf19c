"""Names of array types, one for each kind of number; shapes are stated where an array is used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Index = NDArray[np.intp]

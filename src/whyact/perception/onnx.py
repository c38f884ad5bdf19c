"""Detectors as ONNX files, run by onnxruntime (extra ``onnx``) on one thread; FastestDet's head is built in.

FastestDet predicts one box a cell of a 22 x 22 map. Of its 5 + C channels the first is the objectness, four
are box terms, the others class probabilities; the file as published already holds the sigmoid and the softmax.
Decoding as in its public description (github.com/dog-qiuqiu/FastestDet): score = objectness^0.6 class^0.4,
centre = (cell + tanh(t)) / cells, size = sigmoid(t) of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyact.arrays import Float32
from whyact.errors import UserError
from whyact.files import sha256
from whyact.perception.classes import coco_names, read_names
from whyact.perception.types import Detections, Frames, Int, suppress

# The model's outputs for one frame -> boxes (N,4) xyxy as shares of the image, scores (N,), classes (N,).
Decoder = Callable[[list[NDArray[Any]]], tuple[Float32, Float32, Int]]


def decode_fastestdet(outputs: list[NDArray[Any]]) -> tuple[Float32, Float32, Int]:
    """Decode FastestDet's map (1,5+C,h,w): boxes (h w,4) as shares of the image, scores (h w,), classes (h w,)."""
    from scipy.special import expit

    out = outputs[0][0].astype(np.float32)
    rows, columns = out.shape[1:]
    y, x = np.mgrid[:rows, :columns]
    center = np.stack([(x + np.tanh(out[1])) / columns, (y + np.tanh(out[2])) / rows], axis=-1)
    size = np.stack([expit(out[3]), expit(out[4])], axis=-1)
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=-1)
    best = out[5:].max(axis=0)
    scores = np.clip(out[0], 0, 1) ** 0.6 * np.clip(best, 0, 1) ** 0.4
    flat: tuple[Float32, Float32, Int] = (
        boxes.reshape(-1, 4).astype(np.float32),
        scores.reshape(-1),
        out[5:].argmax(axis=0).reshape(-1).astype(np.int64),
    )
    return flat


class OnnxDetector:
    """A detector in an ONNX file with one image input (1,3,h,w), BGR in 0..1, stretched to its size.

    Args:
        path: The file.
        names: A file with one class name a line; without it, one beside the model, else COCO's 80 names.
        score: Boxes with a lower score are dropped.
        iou: Of boxes of a class that overlap more than this, the best stays.
        decoder: What makes boxes of the model's outputs.

    Raises:
        UserError: When onnxruntime is missing, or a file is missing, broken or of another kind.
    """

    def __init__(
        self,
        path: Path | str,
        names: Path | str | None = None,
        *,
        score: float = 0.4,
        iou: float = 0.45,
        decoder: Decoder = decode_fastestdet,
    ) -> None:
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(path, error.strerror, "an ONNX detector") from error
        self.name = f"{path.name} sha256:{sha256(data)[:16]}"
        self.score, self.iou, self.decoder = score, iou, decoder
        self._session = _session(path, data)
        self._input, self._size = _image_input(path, self._session)
        self.classes = _classes(path, names, self._count(path))

    def __call__(self, frames: Frames) -> list[Detections]:
        """Return the boxes of frames (T,H,W,3) uint8 RGB, best first, cut off at the image's edges."""
        return [self._one(frame) for frame in frames]

    def _one(self, frame: NDArray[np.uint8]) -> Detections:
        boxes, scores, classes = self.decoder(self._run(frame))
        height, width = frame.shape[:2]
        boxes = np.clip(boxes, 0, 1) * np.array([width, height, width, height], dtype=np.float32)
        good = (scores >= self.score) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return suppress(Detections(boxes[good], scores[good], classes[good]), self.iou)

    def _run(self, frame: NDArray[np.uint8]) -> list[NDArray[Any]]:
        import torch
        from torchvision.transforms.v2.functional import resize

        image = resize(torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1), list(self._size), antialias=True)
        values = image.numpy()[None, ::-1].astype(np.float32) / 255.0
        outputs: list[NDArray[Any]] = self._session.run(None, {self._input: values})
        return outputs

    def _count(self, path: Path) -> int:
        """Return the number of classes, from an empty image: a file may declare no output shape."""
        try:
            outputs = self._run(np.zeros((*self._size, 3), dtype=np.uint8))
        except Exception as error:  # onnxruntime raises its own classes, one a kind of failure
            raise UserError(path, str(error).splitlines()[0], "a detector that runs on one RGB image") from error
        shape = outputs[0].shape
        if self.decoder is decode_fastestdet and (len(shape) != 4 or shape[0] != 1 or shape[1] < 6):
            expected = "FastestDet's head, (1, 5 + classes, rows, columns)"
            raise UserError(
                path, f"an output of shape {shape}", expected, "write its boxes to a tracks file (--tracks)"
            )
        return int(shape[1]) - 5 if self.decoder is decode_fastestdet else 0


def _session(path: Path, data: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(path, None, "the package onnxruntime", "pip install 'whyact[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, one a kind of failure
        raise UserError(path, str(error).splitlines()[0], "an ONNX model") from error


def _image_input(path: Path, session: Any) -> tuple[str, tuple[int, int]]:
    """Return the name of the model's image input and its (height, width)."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    if len(shape) != 4 or shape[1] != 3 or not all(isinstance(n, int) and n > 0 for n in shape[2:]):
        found = [(i.name, i.shape) for i in inputs]
        raise UserError(path, f"inputs {found}", "one image input (1, 3, height, width) of fixed size")
    return inputs[0].name, (shape[2], shape[3])


def _classes(path: Path, names: Path | str | None, count: int) -> tuple[str, ...]:
    beside = [path.with_suffix(".names"), *sorted(path.parent.glob("*.names"))]
    file = Path(names) if names is not None else next((f for f in beside if f.is_file()), None)
    if file is None:
        if count in (0, len(coco_names())):
            return coco_names()
        raise UserError(path, f"{count} classes", "a file with their names", "give one: --names FILE, a name a line")
    found = read_names(file)
    if count and len(found) != count:
        raise UserError(file, f"{len(found)} names", f"{count}, one for each class of {path.name}", "--names FILE")
    return found

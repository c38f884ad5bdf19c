"""Settings of a LaIAR that trains in a second."""

from whyact.laiar.config import Config, DataConfig, ModelConfig, OptimConfig

CONFIG = Config(
    data=DataConfig(frames=5, slots=6),
    model=ModelConfig(
        width=16,
        layers=2,
        heads=2,
        ffn=2,
        class_width=4,
        box_width=6,
        mask_size=8,
        mask_channels=(3, 4),
        position="temporal",
    ),
    optim=OptimConfig(lr=5e-3, batch=8, epochs=1),
)

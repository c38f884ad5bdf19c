"""Video files: which are videos, decoding them at chosen times and by number, drawing into frames, writing."""

# One list for every verb: how people name what FFmpeg reads as a video.
VIDEO_SUFFIXES = frozenset(
    (
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265",
        ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe",
        ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob", ".webm",
        ".wmv", ".wtv", ".xvid", ".y4m"
    )
)  # fmt: skip
IMAGE_SUFFIXES = frozenset(
    (
        ".avif", ".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".jxl", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff",
        ".webp"
    )
)  # fmt: skip

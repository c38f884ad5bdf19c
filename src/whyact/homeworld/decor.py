"""What hangs and stands at the wall of a scene; each is painted around its middle, about 150 units wide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whyact.homeworld.brush import Pen, darker, hsv, mix
from whyact.homeworld.scenes import Scene


def _window(pen: Pen, hue: float, scene: Scene) -> None:
    frame = (246, 242, 234)
    pen.fill(pen.shape().box(-66, -72, 66, 74), frame, bulge=2)
    for x0, x1 in ((-58, -4), (4, 58)):
        for i in range(12):  # the sky brightens towards the horizon
            y = -64 + 130 * i / 12
            pen.fill(pen.shape().box(x0, y, x1, y + 11.2), mix((120, 178, 232), (222, 238, 246), i / 11))
        view = pen.shape().box(x0, -64, x1, 66)
        hill = pen.shape().ellipse(-40 + 60 * hue, 74, 70, 46).ellipse(60, 80, 60, 40).within(view)
        pen.fill(hill, hsv(0.28, 0.45, 0.62), bulge=6)
        cloud = pen.shape().ellipse(-30 + 50 * hue, -30, 20, 7).ellipse(-20 + 50 * hue, -36, 13, 8).within(view)
        pen.fill(cloud.soft(1), (255, 255, 255), opacity=0.9)
    pen.fill(pen.shape().box(-58, -4, 58, 1), frame, bulge=1)
    pen.fill(pen.shape().box(-74, 74, 74, 83, 2), darker(frame, 0.06), bulge=2)
    cloth = hsv(hue, 0.35, 0.85)
    for side in (-1, 1):
        for fold in range(4):
            x = side * (80 - fold * 7.5)
            pen.fill(pen.shape().box(min(x, x - side * 9), -80, max(x, x - side * 9), 92, 3), cloth, bulge=2.4)
    pen.fill(pen.shape().box(-90, -86, 90, -79, 3), (120, 90, 60), bulge=1.6)


def _picture(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().box(-52, -42, 52, 42), (110, 76, 40), bulge=3)
    pen.fill(pen.shape().box(-45, -35, 45, 35), (246, 242, 232))
    view = pen.shape().box(-37, -27, 37, 27)
    pen.fill(view, hsv(hue, 0.35, 0.95))
    pen.fill(pen.shape().ellipse(16, -9, 8, 8), hsv(hue + 0.45, 0.6, 1.0))
    for i, (x, r) in enumerate(((-22, 30), (20, 26), (2, 34))):
        mountain = pen.shape().polygon([(x - r, 27), (x, 2 + 6 * i), (x + r, 27)]).within(view)
        pen.fill(mountain, hsv(hue + 0.1 * i, 0.5, 0.55 + 0.1 * i), bulge=2)


def _shelf(pen: Pen, hue: float, scene: Scene) -> None:
    wood = darker(scene.wood, 0.1)
    for row, y in enumerate((-14, 52)):
        pen.fill(pen.shape().box(-76, y, 76, y + 7, 1.5), wood, bulge=2)
        x = -70.0
        i = 0
        while x < 58:
            seed = np.sin(hue * 91 + row * 31 + i * 12.7)
            wide, tall = 8 + 5 * abs(seed), 32 + 14 * abs(np.sin(seed * 9))
            if (i + row) % 6 == 4:
                pot = hsv(hue + 0.13 * i, 0.5, 0.8)
                pen.fill(pen.shape().ellipse(x + 13, y - 13, 13, 13), pot, bulge=5, gloss=0.5)
                pen.fill(pen.shape().box(x + 8, y - 31, x + 18, y - 23, 1), darker(pot, 0.2), bulge=2)
                x += 30
            else:
                book = pen.shape().box(x, y - tall, x + wide, y, 1)
                pen.fill(book, hsv(seed * 3 + hue, 0.5, 0.55 + 0.3 * abs(seed)), bulge=2)
                pen.fill(pen.shape().box(x, y - tall * 0.8, x + wide, y - tall * 0.72), (236, 220, 170), opacity=0.8)
                x += wide + 1
            i += 1


def _lamp(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().ellipse(0, -10, 78, 70).soft(18), (255, 226, 160), opacity=0.5)
    pen.fill(pen.shape().line([(0, 10), (0, 108)], 5), (92, 82, 74), bulge=1.5)
    shade = pen.shape().polygon([(-24, -46), (24, -46), (42, 16), (-42, 16)])
    pen.fill(shade, mix(hsv(0.1 + 0.1 * hue, 0.35, 1.0), (255, 244, 214), 0.5), bulge=9, depth=0.5)
    pen.fill(pen.shape().box(-42, 12, 42, 16), (226, 190, 130))


def _pendant(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().ellipse(0, 6, 74, 62).soft(18), (255, 230, 170), opacity=0.42)
    pen.fill(pen.shape().line([(0, -90), (0, -28)], 2.4), (60, 56, 54))
    pen.fill(pen.shape().ellipse(0, 10, 12, 11), (255, 246, 214))
    color = hsv(hue, 0.6, 0.6)
    dome = pen.shape().ellipse(0, 6, 46, 38).within(pen.shape().box(-60, -60, 60, 6))
    pen.fill(dome, color, bulge=9, gloss=0.6)
    pen.fill(pen.shape().box(-7, -38, 7, -28, 2), (70, 66, 62), bulge=2)


def _clock(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().ellipse(0, 0, 34, 34), hsv(hue, 0.5, 0.5), bulge=4, gloss=0.5)
    pen.fill(pen.shape().ellipse(0, 0, 28, 28), (250, 248, 240))
    marks = pen.shape()
    for i in range(12):
        a = i * np.pi / 6
        marks.line([(23 * np.cos(a), 23 * np.sin(a)), (26 * np.cos(a), 26 * np.sin(a))], 1.8)
    for turn, long, wide in ((hue, 14, 3.0), (12 * hue, 21, 2.0)):
        a = 2 * np.pi * turn - np.pi / 2
        marks.line([(0, 0), (long * np.cos(a), long * np.sin(a))], wide)
    pen.fill(marks, (40, 40, 46))


def _plant(pen: Pen, hue: float, scene: Scene) -> None:
    for i in range(13):
        a = -np.pi / 2 + (i - 6) * 0.24
        long = 58 + 14 * np.sin(i * 2.3 + 5 * hue)
        tip = (long * np.cos(a) * 0.9, 30 + long * np.sin(a))
        bend = (0.5 * tip[0], 30 + 0.62 * (tip[1] - 30))
        leaf = pen.shape().line([(0, 32), bend], 4).line([bend, tip], 7)
        pen.fill(leaf, hsv(0.3 + 0.05 * np.sin(i), 0.6, 0.45 + 0.16 * ((i * 0.618) % 1)), bulge=2)
    pot = hsv(0.04 + 0.1 * hue, 0.6, 0.72)
    pen.fill(pen.shape().polygon([(-24, 32), (24, 32), (17, 80), (-17, 80)]), pot, bulge=5)
    pen.fill(pen.shape().box(-27, 27, 27, 40, 2), darker(pot, -0.1), bulge=2.4)
    pen.fill(pen.shape().box(-40, 80, 40, 87, 2), darker(scene.wood, 0.1), bulge=2)


def _mirror(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().ellipse(0, 0, 54, 70), (206, 178, 120), bulge=4, gloss=0.6)
    glass = pen.shape().ellipse(0, 0, 47, 63)
    pen.fill(glass, mix(scene.wall, (214, 230, 240), 0.6), bulge=3, depth=0.4)
    streaks = (
        pen.shape()
        .polygon([(-40, 20), (10, -60), (24, -60), (-34, 36)])
        .polygon([(-10, 50), (44, -30), (46, -14), (0, 56)])
    )
    pen.fill(streaks.within(glass), (255, 255, 255), opacity=0.35)


def _towel(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().line([(-58, -52), (58, -52)], 4.4), (196, 200, 206), bulge=1.6, gloss=1)
    color = hsv(hue, 0.45, 0.86)
    for fold in range(5):
        x = -40 + fold * 16
        pen.fill(pen.shape().box(x, -55, x + 18, 48, 3), color, bulge=4)
    pen.fill(pen.shape().box(-40, 26, 42, 34), darker(color, -0.5), opacity=0.8)


def _cabinet(pen: Pen, hue: float, scene: Scene) -> None:
    wood = darker(scene.wood, 0.12)
    pen.fill(pen.shape().box(-78, -66, 78, 60, 2), wood, bulge=3)
    for x in (-74, 2):
        pen.fill(pen.shape().box(x, -60, x + 72, 54), darker(wood, -0.06), bulge=2)
        pen.fill(pen.shape().box(x + 9, -51, x + 63, 45), (150, 176, 188), bulge=1)
        plates = pen.shape()
        for i in range(3):
            plates.ellipse(x + 22 + 14 * i, 28, 11, 14).ellipse(x + 22 + 14 * i, -22, 8, 10)
        pen.fill(plates, (240, 238, 232), bulge=2)
        pen.fill(pen.shape().box(x + 9, -4, x + 63, 0), darker(wood, 0.2))
    pen.fill(pen.shape().ellipse(-7, 0, 2.6, 4).ellipse(7, 0, 2.6, 4), (226, 190, 96), bulge=1, gloss=1)


def _pipes(pen: Pen, hue: float, scene: Scene) -> None:
    for i, y in enumerate((-78, -58)):
        metal = ((176, 120, 84), (150, 156, 160))[i]
        pen.fill(pen.shape().line([(-92, y), (40 + 22 * i, y), (40 + 22 * i, 108)], 11), metal, bulge=3.4, gloss=0.8)
        for x in (-60, 0):
            pen.fill(pen.shape().box(x - 4, y - 8, x + 4, y + 8, 2), darker(metal, 0.25), bulge=2)
    pen.fill(pen.shape().ellipse(40, 12, 13, 13), (196, 52, 44), bulge=3, gloss=0.4)
    pen.fill(pen.shape().ellipse(40, 12, 4, 4), (90, 90, 94), bulge=1)


def _pegboard(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().box(-84, -62, 84, 66, 1), (202, 172, 124), bulge=2)
    holes = pen.shape()
    for i in range(14):
        for j in range(10):
            holes.ellipse(-78 + 12 * i, -54 + 12 * j, 1.2, 1.2)
    pen.fill(holes, (120, 96, 62))
    steel, grip = (172, 178, 186), hsv(hue, 0.75, 0.75)
    pen.fill(pen.shape().line([(-60, -40), (-60, 30)], 7), (150, 104, 56), bulge=2)
    pen.fill(pen.shape().box(-74, -52, -44, -36, 2), steel, bulge=3, gloss=0.8)
    pen.fill(pen.shape().line([(-22, -44), (-22, 6)], 4.5), steel, bulge=1.5, gloss=1)
    pen.fill(pen.shape().line([(-22, 4), (-22, 32)], 9), grip, bulge=2.5)
    pen.fill(pen.shape().polygon([(8, -48), (72, -30), (72, -14), (8, -40)]), steel, bulge=1.5, gloss=0.6)
    pen.fill(pen.shape().box(60, -36, 82, -8, 4), grip, bulge=3)
    pen.fill(pen.shape().arc(36, 24, 20, 20, 0, 360, 9), (40, 42, 46), bulge=2.5)


def _washer(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().box(-72, -40, 72, 110, 6), (240, 242, 244), bulge=4)
    pen.fill(pen.shape().box(-66, -34, 66, -10, 3), (206, 212, 218), bulge=1)
    pen.fill(pen.shape().ellipse(46, -22, 8, 8), (120, 126, 134), bulge=2, gloss=0.6)
    pen.fill(pen.shape().box(-56, -28, -12, -16, 2), (60, 120, 150))
    pen.fill(pen.shape().ellipse(0, 48, 46, 46), (170, 176, 184), bulge=4, gloss=0.6)
    drum = pen.shape().ellipse(0, 48, 36, 36)
    pen.fill(drum, (52, 66, 84), bulge=6, gloss=0.5)
    for i in range(4):
        cloth = pen.shape().ellipse(-16 + 11 * i, 66 + 5 * np.sin(3 * i), 12, 10).within(drum)
        pen.fill(cloth, hsv(hue + 0.23 * i, 0.5, 0.8), bulge=3)
    glare = pen.shape().arc(0, 48, 30, 30, 200, 280, 4)
    pen.fill(glare, (255, 255, 255), opacity=0.45)


def _dartboard(pen: Pen, hue: float, scene: Scene) -> None:
    pen.fill(pen.shape().ellipse(0, 0, 60, 60), (34, 30, 30), bulge=4)
    for ring, radius in enumerate((52, 42, 30, 18)):
        for i in range(20):
            a, b = (i - 0.5) * np.pi / 10, (i + 0.5) * np.pi / 10
            wedge = [(0, 0), (radius * np.cos(a), radius * np.sin(a)), (radius * np.cos(b), radius * np.sin(b))]
            colors = ((196, 44, 40), (42, 128, 66)) if ring % 2 == 0 else ((236, 222, 186), (38, 36, 36))
            pen.fill(pen.shape().polygon(wedge), colors[i % 2])
    pen.fill(pen.shape().ellipse(0, 0, 6, 6), (42, 128, 66))
    pen.fill(pen.shape().ellipse(0, 0, 3, 3), (210, 48, 42))


def _neon(pen: Pen, hue: float, scene: Scene) -> None:
    color = hsv(hue, 0.85, 1.0)
    sign = pen.shape().arc(0, 0, 62, 40, 0, 360, 4).line([(8, 14), (8, -14), (30, 14), (30, -14)], 4)
    sign.arc(-22, 0, 16, 15, 0, 360, 4)
    glow = pen.shape().arc(0, 0, 62, 40, 0, 360, 12).ellipse(0, 0, 40, 20).soft(11)
    pen.fill(glow, color, opacity=0.6)
    pen.fill(sign, mix(color, (255, 255, 255), 0.5), bulge=1)


Painter = Callable[[Pen, float, Scene], None]
PAINTERS: dict[str, Painter] = {
    "window": _window, "picture": _picture, "shelf": _shelf, "lamp": _lamp, "pendant": _pendant, "clock": _clock,
    "plant": _plant, "mirror": _mirror, "towel": _towel, "cabinet": _cabinet, "pipes": _pipes, "pegboard": _pegboard,
    "washer": _washer, "dartboard": _dartboard, "neon": _neon,
}  # fmt: skip

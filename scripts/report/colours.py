"""Scales for heat maps, even in lightness and told apart without colour vision: one that runs from
dark to light, and one that leaves white in two hues."""
import matplotlib
import numpy as np

STEPS = 33
# CIE lightness, chroma and hue of both ends: blue and orange-brown, as dark as each other.
END_LIGHTNESS, END_CHROMA, BLUE, BROWN = 40, 50, 270, 60
WHITE = np.array([0.9505, 1.0, 1.089])
XYZ_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415],
                       [0.0557, -0.2040, 1.0570]])


def hex_of(rgb):
    return "#" + "".join(f"{round(255 * min(max(x, 0), 1)):02x}" for x in rgb)


def lch_to_hex(lightness, chroma, hue):
    angle = np.radians(hue)
    y = (lightness + 16) / 116
    f = np.array([y + chroma * np.cos(angle) / 500, y, y - chroma * np.sin(angle) / 200])
    linear = XYZ_TO_RGB @ (WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29)**2 * (f - 4 / 29)))
    linear = np.clip(linear, 0, 1)
    return hex_of(np.where(linear <= 0.0031308, 12.92 * linear,
                           1.055 * linear**(1 / 2.4) - 0.055))


def diverging():
    """Below the baseline blue, at it white, above it brown; lightness falls evenly both ways."""
    return [lch_to_hex(98 - (98 - END_LIGHTNESS) * abs(x), END_CHROMA * abs(x),
                       BLUE if x < 0 else BROWN) for x in np.linspace(-1, 1, STEPS)]


def sequential():
    """Cividis (Nunez, Anderton and Renslow 2018), light for small values."""
    return [hex_of(matplotlib.colormaps["cividis"](x)[:3]) for x in np.linspace(1, 0, STEPS)]


def shades(count):
    """Of cividis, for lines on white: light for the first, dark for the last."""
    return [hex_of(matplotlib.colormaps["cividis"](x)[:3]) for x in np.linspace(0.8, 0, count)]

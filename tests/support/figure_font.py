"""Makes the font of figures, dac/report/vendor/DejaVuSans-figures.ttf: `python -m tests.support.figure_font`.

It is Matplotlib's DejaVu Sans with some of its characters: the same outlines, hints, metrics, kerning and ligatures.
"""

from __future__ import annotations

import io
import string

from fontTools import subset
from matplotlib import font_manager

from dac.report.panels import FONT, FULL_FONT, SMALL_FONT

# All letters of a script that some are used of: FreeType measures them to fit glyphs to pixels.
GREEK = "".join(chr(code) for code in (*range(0x391, 0x3AA), *range(0x3B1, 0x3CA)) if chr(code).isalpha())
CHARACTERS = string.ascii_letters + GREEK + string.digits + string.punctuation + " ±·×÷–—…←↑→↓−≈≤≥"
FAMILY_NAMES = (1, 16)  # numbers of records in the table `name`


def figure_font() -> bytes:
    """The contents of the file."""
    options = subset.Options(
        layout_features=["liga"],
        layout_scripts=["DFLT", "latn"],
        legacy_kern=True,
        name_IDs=["*"],
        glyph_names=True,
        notdef_outline=True,
        recommended_glyphs=True,
    )
    # FontForge's notes; and tables that a PDF does not need, whose reduction takes most of the time. What GPOS says of
    # these characters is in `kern`, too.
    options.drop_tables += ["FFTM", "GDEF", "GPOS", "MATH"]
    font = subset.load_font(font_manager.findfont(FULL_FONT), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=CHARACTERS)
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in FAMILY_NAMES:
            record.string = SMALL_FONT
    written = io.BytesIO()
    font.save(written)
    return written.getvalue()


if __name__ == "__main__":
    FONT.write_bytes(figure_font())

"""How the names of images are compared: lists, captions and the file system may spell one name differently."""

import unicodedata


def compose(name: str) -> str:
    r"""Returns a name in Unicode's composed form (NFC); macOS, for one, decomposes the names of files.

    >>> compose("cafe\N{COMBINING ACUTE ACCENT}.jpg") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def comparison_form(name: str) -> str:
    """Returns the form in which names are equal that differ in upper and lower case, or in composition.

    Names that are spelled alike come first wherever this form is used: `a.jpg` and `A.jpg` may be two images.

    >>> comparison_form("images/P10.JPG")
    'images/p10.jpg'
    """
    return name.lower() if name.isascii() else compose(compose(name).casefold())

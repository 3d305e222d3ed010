"""Which keys are secret by their name, and how a secret looks from outside."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

MASK = "********"

_SECRET_WORDS = (
    "password",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "authorization",
    "credential",
)
_NOT_A_LETTER = re.compile(r"[\W_]+")
_ALIKE_IN_LATIN = str.maketrans("l10hv", "iionn")  # The last two for ν and н, which stand for n as well.
_SKELETONS = tuple(word.translate(_ALIKE_IN_LATIN) for word in _SECRET_WORDS)
_OVERRIDES = frozenset("\u202d\u202e")
"""Turn the order of letters around: what is shown is not what is written."""
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters to Unicode, and nothing to the eye."""
_LETTERS_OF_OTHER_ALPHABETS = {
    "Cyrillic": ("аеорсхуіјѕԁһкмтвнгпԝӏєҽ", "aeopcxyijsdhkmtbhrnwlee"),
    "Cyrillic capitals": ("АЕОРСХУІЈЅԀҺКМТВНГПԜӀ", "aeopcxyijsdhkmtbhrnwl"),
    "Greek": ("αερτυκνιχγςοηωσϲϳ", "aeptukvixyconwocj"),
    "Greek capitals": ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "abezhikmnoptyxc"),
    "Armenian": ("օսոհցՏԼՕՍ", "ounhgslou"),
    "Cherokee": ("ᎪᎬᎥᏆᏦᏞᏢᏚᎢᏔᎳᎠᏟᎻᏂᎡᏒᏙᎩᏃᎾ", "aeiiklpstwwdchhrrvyzo"),
    "Lisu": ("ꓐꓑꓓꓔꓖꓗꓚꓜꓠꓡꓢꓣꓦꓧꓪꓬꓮꓰꓲꓳꓴ", "bpdtgkcznlsrvhwyaeiou"),
    "Coptic": ("ⲟⲣⲥⲕⲛⲧⲁⲉⲓⲩ", "opckntaeiy"),
    "phonetic": ("ɑɩ", "ai"),
}
"""What looks like a Latin letter and is none; Unicode's compatibility forms leave these alone."""
_LOOKALIKES = str.maketrans(
    {c: to for pair in _LETTERS_OF_OTHER_ALPHABETS.values() for c, to in zip(*pair, strict=True)}
)
_LATIN_NAME = re.compile(r"(?:LATIN|INDICATOR SYMBOL)\b.* LETTER (?:.* )?([A-Z])(?: WITH .+)?$")


def is_secret_key(name: str) -> bool:
    """Whether a config key is secret by its name: any case, spelling or look-alike of the words above, or containing
    one (`api-key`, `apiKey`, `X_AUTH_TOKEN`, `ｐａｓｓｗｏｒｄ`). In doubt it is."""
    skeleton = _skeleton(name)
    return any(word in skeleton for word in _SKELETONS) or not _OVERRIDES.isdisjoint(name)


def _skeleton(name: str) -> str:
    """What is left to the eye: Latin letters and digits, those that look alike made one."""
    if not name.isascii():
        # Again after each step, for compatibility forms and capitals lead to letters of other alphabets too.
        compatible = unicodedata.normalize("NFKC", name.translate(_LOOKALIKES)).translate(_LOOKALIKES)
        folded = compatible.casefold().translate(_LOOKALIKES)
        name = "".join(map(_latin, unicodedata.normalize("NFKD", folded).translate(_LOOKALIKES)))
    return _NOT_A_LETTER.sub("", name.lower()).translate(_ALIKE_IN_LATIN)


@lru_cache(maxsize=4096)
def _latin(character: str) -> str:
    """The letter that a variant of one is of (`ø`, `ᴘ`, `🅿`), by its name in Unicode; nothing for what is not seen."""
    if character.isascii():
        return character
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or character in _FILLERS:
        return ""
    found = _LATIN_NAME.search(unicodedata.name(character, ""))
    return found[1].lower() if found else character


def masked(value: Any, *, is_secret: Callable[[str], bool] = is_secret_key) -> Any:
    """A copy of a JSON value with everything under a secret key, at any depth, replaced by the mask.

    An object or list under a secret key is hidden whole, its own keys too; null stays null.
    """
    if isinstance(value, Mapping):
        return {
            key: MASK if child is not None and is_secret(str(key)) else masked(child, is_secret=is_secret)
            for key, child in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(child, is_secret=is_secret) for child in value]
    return value

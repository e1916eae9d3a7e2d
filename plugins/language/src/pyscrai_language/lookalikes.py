"""Names that look alike, and text in one form, so that the same spelling always matches."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from pyscrai_records.base.suggest import quote

#: Letters and digits that look alike, in words whose first character stands for the others. From the
#: confusables of Unicode (UTS #39, version 15), as far as they are one letter or digit.
_TABLE = """
    2ꝚƧϨꙄᒿꛯ 3ꞫȜƷꝪⳌЗӠ𖼻𑣊 4Ꮞ𑢯 5Ƽ𑢻 6ⳒбᏮ𑣕 7𐓒𑣆 8৪੪ȣȢ𐌚 9੧୨৭൭ꝮⳊ𑣌𑢬𑣖 AΑАᎪᗅꓮ𖽀𐊠 BꞴΒВᏴᗷꓐ𐊂𐊡𐌁
    C𑣲𑣩ⲤСᏟꓚ𐊢𐌂𐐕𐔜 DᎠᗞᗪꓓ EΕЕⴹᎬꓰ𑢦𑢮𐊆 FꞘϜᖴꓝ𑣂𑢢𐊇𐊥𐔥 GԌᏀᏳꓖ HΗⲎНᎻᕼꓧ𐋏 JꞲͿЈᎫᒍꓙ KΚⲔКᏦᛕꓗ𐔘 LⳐᏞᒪꓡ𖼖𑢣𑢲𐐛𐔦
    MΜϺⲘМᎷᗰᛖꓟ𐊰𐌑 NΝⲚꓠ𐔓 O০୦〇𑓐𑣠ΟⲞОՕⵔዐଠ𐓂ꓳ𑢵𐊒𐊫𐐄𐔖 PΡⲢРᏢᑭꓑ𐊕 Qⵕ RƦᎡᏒ𐒴ᖇꓣ𖼵 SЅՏᏕᏚꓢ𖼺𐊖𐐠 TΤⲦТᎢꓔ𖼊𑢼𐊗𐊱𐌕
    UՍሀ𐓎ᑌꓴ𖽂𑢸 V۷ѴⴸᏙᐯꛟꓦ𖼈𑢠𐔝 W𑣯𑣦ԜᎳᏔꓪ X𐌢𑣬ꞳΧⲬХⵝᚷꓫ𐊐𐊴𐌗𐔧 YΥⲨУҮᎩᎽꓬ𖽃𑢤𐊲 Z𐋵𑣥ΖᏃꓜ𑢩 aɑαа bƄЬᏏᑲᖯ cᴄⲥсꮯ𐐽
    dԁᏧᑯꓒ eꬲеҽ fꬵꞙẝք gɡᶃƍց hһհᏂ iıɪɩιіꙇꭵᎥ𑣃 jϳј l۱𐌠ƖǀΙⲒІӀӏⵏᛁꓲ𖼨𐊊𐌉 nոռ
    o०੦૦௦౦೦൦๐໐၀۵ᴏᴑꬽοσⲟоჿօഠဝ𐓪𑣈𑣗𐐬 pρⲣр qԛգզ rꭇꭈᴦⲅгꮁ sꜱƽѕꮪ𑣁𐑈 uꞟᴜꭎꭒʋυս𐓶𑣘 vᴠνѵ𑜆ꮩ𑣀 wɯᴡѡԝա𑜊𑜎𑜏ꮃ
    xхᕁᕽ yɣᶌʏỿꭚγуүყ𑣜 zᴢꮓ𑣄 ꭺᴀ вʙ ꞓɛεⲉєԑꮛ ꞒⲈЄ ͽꜿ ϿꜾ ꭰᴅ ẟδծ ꭼᴇ ǝəә ӘƏ ƐԐᏋ ɜᴈз ԍɢ нʜ ԊǶ ꮀⱶ
    ͰⱵ ȷյ ꭻᴊ ⳑʟ ͷᴎ ɔↄᴐͻ ƆϽ ᴩᴘ φɸ kĸᴋκⲕкꮶ ꭱʀ яᴙ ßꞵβᏰ ƩΣ ႠꞆ τᴛ ƫţțᎿ պɰ ᴧʌ ɅΛЛ ʍᴍмꮇ ȝʒꝫⳍӡჳ
    þƿϸ ϷÞ ƨᴤϩꙅ ьƅ ꭾɂ ʘꙨ ΓⲄГᎱ ΔⲆ ⳤϗ λⲖ πᴨп ΠⲠП ΦⲪФՓ ꭓχ ψѱ ΨⲮѰ ωꞷⲱꙍ ИͶ ꭠљ ѠᏇ ꞶꙌ ⲽш ⲼШ ῶᏯ
    ヘへ ニ二 イ亻 ハ八 カ力 ト卜 ロ口 タ夕 エ工
    l1I O0 '\u2018\u2019\u02bc\u2032 -\u2010\u2011\u2012\u2013\u2014\u2212
"""
_SKELETON = {ord(other): word[0] for word in _TABLE.split() for other in word[1:]}
#: Characters without a glyph that have another category than the rest of them.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
#: Compatibility forms that look like what they stand for, by the name that Unicode gives to the relation.
_SAME_SHAPE = ("<compat>", "<font>", "<narrow>", "<noBreak>", "<wide>")


def normalize(value: Any) -> Any:
    """Plain data with all of its text in the form NFC, and lists for tuples.

    Raises `ValueError` if two keys become one.
    """
    if isinstance(value, str):
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    if isinstance(value, (list, tuple)):
        return [normalize(part) for part in value]
    if isinstance(value, dict):
        new = {normalize(key): normalize(part) for key, part in value.items()}
        if len(new) < len(value):
            raise ValueError("two keys of a mapping are the same text, in two encodings; keep one of them")
        return new
    return value


def find_lookalikes(names: Iterable[str], free: bool = False) -> Iterator[tuple[str, str]]:
    """The names that look like an earlier one or hold a character that cannot be seen, and what is wrong.

    `free`: they are texts, such as emoji, in which characters that cannot be seen have their place.
    """
    seen: dict[str, str] = {}
    waiting = list(names)
    plain = all(name.isascii() and name.isprintable() for name in waiting)
    for name in () if plain else waiting:
        hidden = [char for char in name if _is_hidden(char)]
        first = seen.setdefault(_skeleton(name), name)
        if hidden and not free:
            yield name, f"{name!a} holds {_describe(hidden[0])}, which cannot be seen; remove it"
        elif first != name and not (first.isascii() and name.isascii()):
            # The characters that only one of the two has come first.
            odd = sorted(name + first, key=lambda char: (char.isascii(), char in name and char in first))[0]
            one, other = (
                ascii(text) if any(map(_is_hidden, text)) else quote(text) for text in (name, first)
            )
            what = f"{one} looks like another name, {other}"
            what += f", but one of them has {_describe(odd)}"
            yield name, f"{what}; write both alike, or choose a name that looks different"


def _skeleton(name: str) -> str:
    """The same for all names that look alike."""
    shapes = (
        ""
        if _is_hidden(char)
        else unicodedata.normalize("NFKD", char)
        if unicodedata.decomposition(char).startswith(_SAME_SHAPE)
        else " "
        if unicodedata.category(char) == "Zs"
        else char
        for char in name
    )
    return unicodedata.normalize("NFD", "".join(shapes)).translate(_SKELETON)


def _is_hidden(char: str) -> bool:
    category = unicodedata.category(char)
    selector = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or selector or char in _BLANK


def _describe(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, 'without a name').lower()}"

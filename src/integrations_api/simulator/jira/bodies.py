"""Plain texts as the two products keep them: an ADF document (Cloud), or wiki markup (Data Center)."""

from typing import Any

Json = dict[str, Any]


def adf(text: str) -> Json:
    """Paragraphs are parted by empty lines; indented ones are code."""
    return {"type": "doc", "version": 1, "content": [_block(block) for block in _blocks(text)]}


def wiki(text: str) -> str:
    """The same in wiki markup."""
    return "\r\n\r\n".join(
        f"{{noformat}}\r\n{_dedented(block)}\r\n{{noformat}}" if _is_code(block) else block.replace("\n", "\r\n")
        for block in _blocks(text)
    )


def _blocks(text: str) -> list[str]:
    return [block for block in text.split("\n\n") if block.strip()]


def _is_code(block: str) -> bool:
    return all(line.startswith("    ") for line in block.splitlines())


def _dedented(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.splitlines())


def _block(block: str) -> Json:
    if _is_code(block):
        return {"type": "codeBlock", "attrs": {}, "content": [{"type": "text", "text": _dedented(block)}]}
    content: list[Json] = []
    for line in block.splitlines():
        if content:
            content.append({"type": "hardBreak"})
        if line:
            content.append({"type": "text", "text": line})
    return {"type": "paragraph", "content": content}

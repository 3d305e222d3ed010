"""How many records a page asks for: fewer after one that was too much for the source, more again later."""

_GOOD_PAGES_TO_GROW = 4


class PageSize:
    """`now` is what the next page asks for, `most` what was wished for."""

    def __init__(self, most: int) -> None:
        self.most = self.now = most
        self._good_pages = 0

    def shrink(self) -> bool:
        """A page was too much: the next one has half as many. Whether that is fewer."""
        before = self.now
        self.now, self._good_pages = max(1, before // 2), 0
        return self.now < before

    def grow(self, *, may_change: bool = True) -> None:
        """A page was good: after a few of them a size that had shrunk is doubled again, where it `may_change` now."""
        self._good_pages += 1
        if self._good_pages >= _GOOD_PAGES_TO_GROW and may_change:
            self.now, self._good_pages = min(self.most, self.now * 2), 0

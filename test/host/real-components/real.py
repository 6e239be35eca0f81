# The world of real.wit in Python, which comes as CPython itself.
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.api import Summary
from wit_world.imports import host


class Api(exports.Api):
    def summarize(self, text: str) -> Summary:
        words = [word for word in text.split(" ") if word]
        if not words:
            raise Err("no words")
        checksum = 0x811C9DC5
        for byte in text.encode():
            checksum = ((checksum ^ byte) * 0x01000193) & 0xFFFFFFFF
        longest = max(words, key=len)
        host.note(longest)
        return Summary(len(words), longest, checksum & 0x7FFFFFFF)

    def sort(self, numbers: list[float]) -> list[float]:
        return sorted(numbers)

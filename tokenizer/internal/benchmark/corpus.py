"""Makes the texts of compare.py out of folders of text and code.

    python corpus.py OUT --english DIR... --mixed DIR... --cjk DIR... --code DIR... [--docstrings DIR...]

OUT gets four texts of 2 MB that do not repeat, prose.txt (English), mixed.txt (many languages, in turn), cjk.txt and
code.txt, and chat.txt: 20 MB of distinct lines of 20 to 400 bytes, two thirds of them English, shuffled. Folders are
searched for every file that is text in UTF-8 (gzip, roff and HTML are undone); files are taken in the order of their
names, so the same folders make the same texts.

What docs/benchmarks.md was measured on: English is Debian's fortunes, debian-reference-en and the docstrings of Python
packages; mixed is fortunes-bg, -br, -cs, -de, -eo, -es, -ga, -it, -pl and -ru, debian-reference-fr and -es; CJK is
fortunes-zh, debian-reference-ja and -zh-cn, manpages-ja and -zh; code is Go's src and Python's site-packages.
"""

import argparse
import ast
import gzip
import html
import pathlib
import random
import re

SIZE = 2 << 20
CHAT = 20 << 20
HAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def text_of(path):
    """The text of a file, or "" if it is none."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError):
        return ""
    if "\0" in text:
        return ""
    if ".html" in path.name:
        text = html.unescape(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", "", text))
    if "/man" in path.as_posix():
        text = re.sub(r'(?m)^[.\'].*\n?|\\f.|\\&|\\', "", text)
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", text)


def files(folders, suffixes=None):
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file() and (suffixes is None or path.suffix in suffixes) and path.suffix not in (".dat", ".pdf", ".po"):
                yield path


def paragraphs(folders):
    """Distinct paragraphs, in order."""
    seen = set()
    for path in files(folders):
        for part in re.split(r"\n%\n|\n\s*\n", text_of(path)):
            part = part.strip("\n") + "\n\n"
            if len(part) > 22 and part not in seen:
                seen.add(part)
                yield part


def docstrings(folders):
    """Distinct paragraphs of the docstrings of Python files."""
    seen = set()
    for path in files(folders, {".py"}):
        try:
            tree = ast.parse(text_of(path))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for part in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                    if len(part) > 20 and part not in seen:
                        seen.add(part)
                        yield part + "\n\n"


def in_turn(iterators):
    iterators = list(iterators)
    while iterators:
        for it in list(iterators):
            part = next(it, None)
            if part is None:
                iterators.remove(it)
            else:
                yield part


def take(parts, size):
    out, n = [], 0
    for part in parts:
        out.append(part)
        n += len(part.encode())
        if n >= size:
            break
    return "".join(out)


def code(folders):
    """Whole files of each folder in turn, of several languages."""
    suffixes = {".go", ".py", ".c", ".h", ".js", ".rs", ".s", ".proto"}
    return in_turn((t for t in map(text_of, files([folder], suffixes)) if 500 < len(t) < 60000) for folder in folders)


def lines(parts, size):
    """Distinct lines of 20 to 400 bytes, of so many bytes together."""
    out, n, seen = [], 0, set()
    for part in parts:
        for line in part.split("\n"):
            line = line.strip() + "\n"
            length = len(line.encode())
            if 20 <= length <= 400 and line not in seen:
                seen.add(line)
                out.append(line)
                n += length
                if n >= size:
                    return out
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=pathlib.Path)
    for name in ("english", "mixed", "cjk", "code", "docstrings"):
        p.add_argument("--" + name, nargs="+", default=[])
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)

    def english():
        yield from paragraphs(a.english)
        for part in docstrings(a.docstrings):
            yield re.sub(r"[ \n]+", " ", part) + "\n"  # a paragraph is a line, as in a chat

    def cjk():
        return (part for part in in_turn(paragraphs([f]) for f in a.cjk) if len(HAN.findall(part)) > len(part) / 3)

    def mixed():
        return in_turn(paragraphs([f]) for f in a.mixed)

    texts = {"prose": take(english(), SIZE), "mixed": take(mixed(), SIZE), "cjk": take(cjk(), SIZE), "code": take(code(a.code), SIZE)}
    share = CHAT // 12
    rest = lines(mixed(), 2 * share) + lines(cjk(), share) + lines(code(a.code), share)
    rest += lines(english(), CHAT + share - sum(len(line.encode()) for line in rest))
    chat = list(dict.fromkeys(rest))
    random.Random(1).shuffle(chat)
    texts["chat"] = "".join(chat)
    for name, text in texts.items():
        data = text.encode()
        (a.out / (name + ".txt")).write_bytes(data)
        print(f"{name}: {len(data) / 1e6:.1f} MB, {text.count(chr(10))} lines")


main()

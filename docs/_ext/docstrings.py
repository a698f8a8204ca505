"""Docstrings as numpydoc reads them.

In the sources they are plain text, to be read by `help()`: formulas with stars and bars, arguments with their
description on the same line. Here each becomes the reStructuredText that says the same, and nothing in it is taken for
markup that is none.
"""
import re

ITEMS = 'Parameters', 'Returns', 'Attributes', 'Raises', 'Warns'
"""Sections that list things, each with a description; numpydoc lays these out."""

PIECE = re.compile(r'(:[a-z:]+:`[^`]*`|``.+?``|`[^`]+`_?|docs/[\w/-]+\.md(?:#[\w-]+)?|arXiv:\d{4}\.\d{4,5})')
LABEL = re.compile(r'([\w*][^:`]*?) *:(?: +|$)(.*)')
NESTED = re.compile(r'\*{0,2}\w[\w*, ]* : ')
TABLE = re.compile(r'\S {3,}\S')


def sections(lines):
    """Return [(heading, lines)] of a docstring; the first heading is ''."""
    found = [('', [])]
    for i, line in enumerate(lines):
        under = lines[i + 1] if i + 1 < len(lines) else ''
        if line and under == '-' * len(line):
            found.append((line, []))
        elif not (set(line) == {'-'} and lines[i - 1] == found[-1][0]):
            found[-1][1].append(line)
    return found


class Docstring:
    """A docstring as reStructuredText: `start` and `lists` for numpydoc, `end` to follow what numpydoc makes of these.

    `names` are public names, {as written: as Sphinx knows it}; `up` leads from the page to the folder docs.
    """

    def __init__(self, lines, names, sources, up):
        self.names, self.sources, self.up = names, sources, up
        self.lines, self.end = [], []
        for heading, body in sections(lines):
            if heading in ITEMS:
                self.lines += ['', heading, '-' * len(heading), *self.items(body)]
            elif heading == 'Examples':
                self.end += ['', '.. rubric:: Examples', '', *body, '']
            elif heading:
                self.end += ['', f'.. rubric:: {heading}', '', *self.prose(body)]
            else:
                self.lines += self.prose(body)

    def text(self, text):
        """Return words as reStructuredText: code, links and citations are marked, everything else is itself."""
        return ''.join(map(self._piece, PIECE.split(text)))

    def _piece(self, piece):
        if piece.startswith((':', '``')) and piece.endswith('`'):
            return piece
        if piece.startswith('`') and piece.endswith('`'):
            name = piece.strip('`')
            return rf'\ :py:obj:`{name} <{self.names[name]}>`\ ' if name in self.names else rf'\ ``{name}``\ '
        if re.fullmatch(PIECE, piece) and piece.startswith('docs/'):
            page, _, anchor = piece.removeprefix('docs/').partition('#')
            target = page.removesuffix('.md') + '.html' + f'#{anchor}' * bool(anchor)
            return rf'\ `{page.removesuffix(".md")} <{self.up}{target}>`__\ '
        if re.fullmatch(PIECE, piece):
            return rf'\ `{piece} <https://arxiv.org/abs/{piece.removeprefix("arXiv:")}>`__\ '
        escaped = re.sub(r'([\\*|_`])', r'\\\1', piece)
        return self.sources(escaped)

    def prose(self, lines):
        """Return paragraphs; what is indented or set in columns stays as it is written."""
        found = []
        for block in paragraphs(lines):
            first = block[0]
            if first.startswith(('.. ', '>>>', '==')):
                found += [*block, '']
            elif first.startswith(' ') or sum(map(bool, map(TABLE.search, block))) > 1:
                found += ['::', '', *['    ' + line for line in block], '']
            else:
                found += [*self._listed(block), '']
        return found

    def _listed(self, block):
        """Return a paragraph, or a list if its lines are `name : description`."""
        starts = [i for i, line in enumerate(block) if NESTED.match(line)]
        if len(starts) < 2 or starts[0]:
            return [self.text(' '.join(line.strip() for line in block))]
        ends = [*starts[1:], len(block)]
        return ['* ' + self._labelled(' '.join(line.strip() for line in block[i:j])) for i, j in zip(starts, ends)]

    def _labelled(self, text):
        label, _, rest = text.partition(' : ')
        return f'**{escaped(label)}** : {self.text(rest)}'

    def items(self, lines):
        """Return the entries of a list as numpydoc has them: name and type on a line, the description below it."""
        found = []
        for head, rest in entries(lines):
            match = LABEL.fullmatch(head)
            label, first = match.groups() if match else ('', head)
            kind, _, more = re.sub(r'\s{2,}', '\0', first.strip(), count=1).partition('\0')
            if match and not more and not rest:
                kind, more = '', first
            elif match and not more and first and kind_is_text(first):
                kind, more = '', first
            typed = self.text(kind).strip()
            found.append(f'{label} : {typed}' if label and typed else label or typed)
            described = self.prose(dedented([more, *rest])) if more or rest else []
            found += ['    ' + line if line else '' for line in described]
        return found


def kind_is_text(text):
    """Whether what stands behind a name is a sentence, which goes on below, and no type."""
    return text.endswith((',', ';')) or len(text) > 60 or '. ' in text


def escaped(text):
    return re.sub(r'([\\*|_`])', r'\\\1', text)


def paragraphs(lines):
    """Return the paragraphs of lines; a directive takes what is indented below it along."""
    found, block = [], []
    for i, line in enumerate(lines):
        is_inside = block and block[0].startswith('.. ') and (not line or line.startswith(' '))
        if line and (is_inside or not block or (not block[0].startswith('.. ')
                                                and block[0].startswith(' ') == line.startswith(' '))):
            block.append(line)
        elif is_inside:
            block.append('')
        elif line and block and not block[0].startswith(('.. ', ' ')):
            block.append(line)                                       # a paragraph whose lines hang
        else:
            found.append(block)
            block = [line] if line else []
    return [trimmed for block in [*found, block] if (trimmed := stripped(block))]


def stripped(block):
    """Return a block without the empty lines at its end."""
    while block and not block[-1]:
        block = block[:-1]
    return block


def entries(lines):
    """Return [(line, indented lines below it)]."""
    found = []
    for line in lines:
        if line and not line.startswith(' '):
            found.append((line, []))
        elif found:
            found[-1][1].append(line)
    return found


def dedented(lines):
    """Return the first line and the others, each without the indentation that all of the others have."""
    first, *others = lines
    indents = [len(line) - len(line.lstrip()) for line in others if line]
    return [line for line in [first] if line] + [line[min(indents, default=0):] for line in others]

"""Docstrings as numpydoc reads them.

In the sources they are plain text, to be read by `help()`: formulas with stars and bars, arguments with their
description on the same line. Here each becomes the reStructuredText that says the same, and nothing in it is taken for
markup that is none.
"""
import re

SHORT = 30
"""Characters of statements of a formula that share a line."""

LONGEST = 60
"""Characters of the longest type of an argument; what is longer is a description."""

ITEMS = 'Parameters', 'Returns', 'Attributes', 'Raises', 'Warns'
"""Sections that list things, each with a description; numpydoc lays these out."""

PIECE = re.compile(r'(:[a-z:]+:`[^`]*`|``.+?``|`[^`]+`_?|docs/[\w/-]+\.md(?:#[\w-]+)?|arXiv:\d{4}\.\d{4,5})')
LABEL = re.compile(r'([\w*][^:`]*?) *:(?: +|$)(.*)')
NESTED = re.compile(r'\*{0,2}\w[\w*, ]* : ')
COLUMNS = re.compile(r'\S {3,}\S')


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
            if heading in ITEMS and any(map(is_entry, body)):
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
            if first.startswith('.. math::'):
                found += [*aligned_math(block), '']
            elif first.startswith(('.. ', '>>>')):
                found += [*block, '']
            elif first.startswith('=='):
                found += [*self._table(block), '']
            elif first.startswith(' ') or sum(map(bool, map(COLUMNS.search, block))) > 1:
                found += ['::', '', *['    ' + line for line in block], '']
            else:
                found += [*self._listed(block), '']
        return found

    def _table(self, block):
        """Return a table of lines of = and columns below them as a list of rows."""
        edges = [match.span() for match in re.finditer('=+', block[0])]
        starts = [start for start, _ in edges]
        rows, borders = [], 0
        for line in block:
            cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])]
            borders += line.startswith('==')
            if line.startswith('=='):
                continue
            if cells[0] or not rows:
                rows.append(cells)
            else:
                rows[-1] = [f'{above} {cell}'.strip() for above, cell in zip(rows[-1], cells)]
        found = ['.. list-table::', f'   :header-rows: {int(borders > 2)}', '']
        for row in rows:
            found += ['   ' + mark + self.text(cell) for mark, cell in zip(['* - ', *['  - '] * len(row)], row)]
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
            kind, *more = re.split(r'\s{2,}', first.strip(), maxsplit=1)
            is_described = match and not more and (not any(rest) or len(first) > LONGEST or first.endswith((',', ';')))
            if is_described:
                kind, more = '', [first]
            typed = self.text(kind).strip()
            found.append(f'{label} : {typed}' if label and typed else label or typed)
            described = self.prose(dedented([*more, *rest]))
            found += ['    ' + line if line else '' for line in described]
        return found


def is_entry(line):
    """Whether a line begins an entry of a list: a name, and a colon or a wide space behind it."""
    return bool(line) and not line.startswith(' ') and bool(LABEL.fullmatch(line) or re.search(r'\S {3,}\S', line))


def aligned(formula):
    """Return a formula with its statements below each other, where a comma and a wide space part them."""
    statements = re.split(r'(?<=,)\s*\\q?quad\s*', formula)
    for i in range(len(statements) - 1, 0, -1):
        if len(statements[i]) + len(statements[i - 1]) < SHORT:
            statements[i - 1:i + 1] = [rf'{statements[i - 1]}\quad {statements[i]}']
    if len(statements) < 2 or r'\\' in formula or r'\begin' in formula:
        return formula
    return r'\begin{aligned}' + r' \\ '.join(f'& {statement}' for statement in statements) + r'\end{aligned}'


def aligned_math(block):
    """Return the directive of a formula, its statements below each other."""
    formula = ' '.join([block[0].removeprefix('.. math::').strip(), *map(str.strip, block[1:])]).strip()
    return ['.. math::', '', f'   {aligned(formula)}']


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
    """Return lines without the indentation that all of those have which are indented."""
    indents = [len(line) - len(line.lstrip()) for line in lines if line.startswith(' ')]
    return [line[min(indents):] if line.startswith(' ') else line for line in lines]

"""
Checking an implementation in another language
==============================================

The conformance suite speaks JSON with any program: a request on each line, an answer on each. Here
is a kernel of ReLU networks in forty lines of JavaScript, written as one writes it at first, and what
the suite says of it. Where no ``node`` is installed, the answer of an earlier run is shown.
"""
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ntref.oracle import conform

ADAPTER = r"""#!/usr/bin/env node
const unsupported = why => { throw { unsupported: why } }
const array = a => Array.from({ length: a.shape[0] }, (_, i) =>
  a.data.slice(i * a.shape[1], (i + 1) * a.shape[1]).map(Number))
const dot = (x, y) => x.reduce((sum, _, i) => sum + x[i] * y[i], 0) / x.length

function pair (layers, k, q1, q2) {
  let ntk = 0
  for (const { layer, out_dim, W_std = 1, b_std = 0, ...other } of layers) {
    if (Object.keys(other).length) unsupported('options')
    if (layer === 'Dense') {
      [k, q1, q2] = [k, q1, q2].map(v => W_std ** 2 * v + b_std ** 2)
      ntk = k + W_std ** 2 * ntk
    } else if (layer === 'Relu') {
      const angle = Math.acos(Math.min(1, Math.max(-1, k / Math.sqrt(q1 * q2))))
      ntk *= (Math.PI - angle) / (2 * Math.PI)
      const sum = Math.sin(angle) + (Math.PI - angle) * Math.cos(angle)
      k = Math.sqrt(q1 * q2) * sum / (2 * Math.PI)
      q1 /= 2; q2 /= 2
    } else unsupported(layer)
  }
  return { nngp: k, ntk }
}

function kernel ({ call, spec, inputs, options }) {
  if (call !== 'kernel') unsupported(call)
  const x1 = array(inputs.x1), x2 = inputs.x2 ? array(inputs.x2) : x1
  const found = x1.flatMap(a => x2.map(
    b => pair(spec.layers, dot(a, b), dot(a, a), dot(b, b))))
  return Object.fromEntries(options.get.map(get => [get, {
    shape: [x1.length, x2.length], dtype: 'float64',
    data: found.map(k => Number.isFinite(k[get]) ? k[get] : String(k[get])) }]))
}

require('readline').createInterface({ input: process.stdin }).on('line', line => {
  const request = JSON.parse(line), answer = { id: request.id }
  try { answer.result = kernel(request) }
  catch (e) { answer.unsupported = String(e.unsupported ?? e) }
  console.log(JSON.stringify(answer))
})
"""
RECORDED = {'antipodal': (15.5, 15.5), 'duplicates': (15.7, 8.1),
            'mixed-scales': (15.6, 8.1),
            'near': (15.6, 8.3), 'one-feature': (15.6, 15.4), 'orthogonal': (17., 15.7),
            'row': (15.9, 15.5), 'zeros': (16., 8.2)}           # digits of NNGP and NTK

# %%
# The suite starts the program and asks it about ReLU networks, on inputs that are not easy.

digits = RECORDED
if shutil.which('node'):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'relu.js')
        path.write_text(ADAPTER)
        path.chmod(0o700)
        result = conform(str(path), select='range/relu-3/*', progress=False)
    digits = {outcome.name.split('/')[-1]: (outcome.digits['nngp'],
                                            outcome.digits['ntk'])
              for outcome in result.outcomes}
    print(*(outcome.reason for outcome in result.outcomes if outcome.verdict == 'fail'),
          sep='\n')
else:
    print('There is no node here: the digits are those of an earlier run.')

# %%
ax = plt.subplots(layout='constrained')[1]
for i, name in enumerate(('NNGP', 'NTK')):
    ax.barh(np.arange(len(digits)) + .2 - .4 * i, [d[i] for d in digits.values()], .4,
            label=name,
            hatch=('', '//')[i], ec='white')
ax.axvline(13, color='black', ls='--', label='asked for')
ax.set(xlabel='digits agreed in the worst entry', ylabel='case',
       yticks=range(len(digits)),
       yticklabels=list(digits))
ax.legend(loc='lower center', bbox_to_anchor=(.5, 1), ncols=3, frameon=False)
plt.show()

# %%
# The formulas are right, and half of the digits are lost wherever two inputs are nearly parallel
# or the same: the angle comes from the arccosine of a cosine that was rounded.

assert min(nngp for nngp, _ in digits.values()) > 13 > 10 > digits['near'][1]

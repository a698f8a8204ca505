"""
A kernel on a cluster
=====================

``executor=`` sends the tiles of a kernel to the workers of a Dask cluster. They come back into
memory or, with ``out=``, workers write them into one store. Here the cluster is two workers of
this process; a real one is ``Client('tcp://HOST:8786')``, and nothing else changes.
"""
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, get_task_stream

from ntref import batch, stax

x = np.random.default_rng(0).standard_normal((900, 20))
net = stax.serial(*[stax.Dense(1, 1.5, .1), stax.Relu()] * 3, stax.Dense(1))

cluster = dict(processes=False, n_workers=2, threads_per_worker=1,
               dashboard_address='127.0.0.1:0')
with Client(**cluster) as client, get_task_stream(client) as stream:
    k = batch(net.kernel_fn, batch_size=150, executor=client)(x, None, 'ntk')

assert np.allclose(k, net.kernel_fn(x, None, 'ntk'), rtol=1e-13)

# %%
# Who computed when? Of 36 tiles 21 are needed, since the kernel is symmetric, and the first of them
# is computed here, to see what a tile takes.

tasks = [(task['worker'], part['start'], part['stop']) for task in stream.data
         for part in task['startstops'] if part['action'] == 'compute']
workers = sorted({worker for worker, _, _ in tasks})
start = min(begin for _, begin, _ in tasks)

ax = plt.subplots(figsize=(7, 2.5), layout='constrained')[1]
for worker, begin, end in tasks:
    ax.barh(workers.index(worker), 1e3 * (end - begin), left=1e3 * (begin - start),
            ec='white',
            color=f'C{workers.index(worker)}')
ax.set(xlabel='time [ms]')
ax.set_yticks(range(len(workers)), [f'worker {i}' for i in range(len(workers))])
plt.show()

# %%
print(f'{len(tasks)} tasks on {len(workers)} workers')
assert len(tasks) == 20

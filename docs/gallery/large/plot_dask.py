"""
A kernel on a cluster
=====================

``executor=`` sends the tiles of a kernel to the workers of a Dask cluster; without ``out=`` they
come back into memory. Here the cluster is two workers inside this process; with the address of a
scheduler in place of ``processes=False`` it is as many machines as there are.
"""
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client

from ntref import batch, stax

x = np.random.default_rng(0).standard_normal((600, 20))
net = stax.serial(stax.Dense(1, 1.5, .1), stax.Relu(), stax.Dense(1))

with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
    k = batch(net.kernel_fn, batch_size=150, executor=client)(x, None, 'ntk')
    stories = [task for task in client.get_task_stream()] if False else []

"""
What a kernel finds easy: its eigenvalues
=========================================

Gradient descent learns the part of the targets along an eigenvector of the kernel in a time of
:math:`N / \\lambda`. On a circle the eigenvectors are sines and cosines; how fast their
eigenvalues fall with the frequency is a matter of the activation: smooth ones are slow to learn
what wiggles.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import stax

angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
x = 2 ** .5 * np.stack([np.cos(angles), np.sin(angles)], -1)
activations = {'Relu': (stax.Relu(), 'o-'), 'Erf': (stax.Erf(), 's--'),
               'Gelu': (stax.Gelu(), 'D-.')}

# %%
# The kernel on the circle is a function of the angle, and its eigenvalues are the Fourier
# coefficients of one row.

ax = plt.subplots(layout='constrained')[1]
spectra, frequencies = {}, np.arange(33)
for name, (activation, style) in activations.items():
    net = stax.serial(stax.Dense(1, 1.5, .5), activation, stax.Dense(1))
    row = net.kernel_fn(x[:1], x, 'ntk')[0]
    spectra[name] = np.fft.rfft(row).real[:33] / 256
    shown = spectra[name] > 1e-15
    ax.semilogy(frequencies[shown], spectra[name][shown], style, ms=4, label=name)
ax.set(xlabel='frequency on the circle', ylabel='eigenvalue of the tangent kernel / N')
ax.legend()
plt.show()

# %%
for name, values in spectra.items():
    print(f'{name}: frequency 16 takes {values[1] / values[16]:.0e} times as long as frequency 1')
eigenvalues = np.linalg.eigvalsh(net.kernel_fn(x, None, 'ntk'))
assert np.allclose(np.sort(spectra['Gelu'])[-1], eigenvalues[-1] / 256)
assert spectra['Relu'][16] > 10 * spectra['Erf'][16] > 100 * spectra['Gelu'][16]

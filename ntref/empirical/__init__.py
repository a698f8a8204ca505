"""Kernels of finite networks, for any function that autograd or another can differentiate. This folder knows no layers.
"""
from .given import Differentiable
from .kernels import NtkImplementation, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn
from .products import empirical_ntk_vp_fn

__all__ = ['Differentiable', 'NtkImplementation', 'empirical_kernel_fn', 'empirical_nngp_fn', 'empirical_ntk_fn',
           'empirical_ntk_vp_fn']

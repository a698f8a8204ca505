"""Kernels of finite networks, for any function that autograd can differentiate. This folder knows no layers."""
from .kernels import NtkImplementation, empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn
from .products import empirical_ntk_vp_fn

__all__ = ['NtkImplementation', 'empirical_kernel_fn', 'empirical_nngp_fn', 'empirical_ntk_fn',
           'empirical_ntk_vp_fn']

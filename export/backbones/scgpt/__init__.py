"""scGPT (Cui et al. 2024, Nature Methods, doi:10.1038/s41592-024-02201-0): checkpoint folders of its authors.

A folder holds ``args.json``, ``vocab.json`` and ``best_model.pt`` (or ``.safetensors``). Read are the released
generative checkpoints (with ``flag_encoder``), the older blood layout, masked fine-tunes (batch norm, batch
labels, zero logits) and perturbation fine-tunes (``pert_encoder``, affine decoder), in all three attention
layouts, which hold the same numbers. Perturbation fine-tunes were trained without ``<cls>`` and get none.

A token is LN(embedding) + LN(W2 relu(W1 v + b1) + b2); the layers are
post-norm with ReLU; the gene vectors are stored normalised.

What training reads decides which readout is legitimate: a generative checkpoint predicts genes from value-free
query tokens that attend to the cell and themselves, without the attention's output projection (``gen``), and
from ``<cls>`` (``mvc``); a fine-tune predicts tokens with the mask value -1 (``masked``).
"""

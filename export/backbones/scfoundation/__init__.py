"""scFoundation (Hao et al. 2024, Nature Methods, doi:10.1038/s41592-024-02305-7): the authors' ``models.ckpt``.

A value becomes soft weights over 100 learned bins. An encoder sees the genes with a value above zero and two
depth tokens, T (target log10 depth) and S (log10 total count), which are held fixed while probing; a Performer
decoder sees all 19,264 genes, those without a value by the embedding of zero, and predicts every gene's
expression at depth T. The prediction is smooth in a value above zero; at zero the gene leaves the encoder, a
discontinuity, so zero is no level. Linear attention normalises over all tokens: the decoder cannot be restricted
to the targets, except in its last layer.
"""

"""Geneformer V1 and V2 (Theodoris et al. 2023, Nature, doi:10.1038/s41586-023-06139-9): Hugging Face folders.

Geneformer sees no values: a cell is its genes in descending order of s = v / median, v the counts per 10,000, and
a token is word embedding + position embedding (+ token type), normalised, through post-norm BERT layers with
ReLU. A level moves the source only through its rank, a step function, whose derivative is zero almost everywhere.
The probe therefore ranks softly: a gene's position is the number of genes ahead of it, the source counting as
sigmoid((ln s_source - ln s_gene) / t), and positions between two ranks are interpolated. As t goes to 0 this is
Geneformer's own input; the gradient is a surrogate, and so marked. Ties rank by token id (upstream: undefined).

M_j is the logit of gene j at j's token: with its identity masked, as in training (``masked``), or shown
(``token``); or how far the token's embedding moved from where the source has the baseline, 1 - cosine
(``shift``: the authors' in-silico perturbation); or minus the position it is expected at, every position's identity
masked in turn and P(position | gene) taken from P(gene | position) with all positions of the cell as likely
(``rank``; at position p the gene whose rank rounds to p is hidden).
"""

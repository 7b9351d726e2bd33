"""Pretraining on small made data: what is learned, resumed, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.expression import SYMBOLS
from ugrn.export.backbones.mini import LearnedGenes, MiniBackbone, MiniConfig
from ugrn.export.backbones.mini_checkpoint import load_checkpoint
from ugrn.export.pretrain.loop import predict
from ugrn.export.pretrain.pretrain import Sizes, pretrain_to_folder
from ugrn.export.pretrain.sampling import Batch, PretrainConfig
from ugrn.export.pretrain.vocabulary import write_embeddings
from ugrn.export.registry import load_backbone
from ugrn.runtime.errors import InputError


def test_finished_backbone_predicts_as_the_trained_one() -> None:
    torch.manual_seed(0)
    model = MiniBackbone(MiniConfig(16, 1, 2, 32, 8), SYMBOLS, LearnedGenes(torch.randn(40, 8), 16)).eval()
    batch = Batch(
        torch.randint(0, 40, (5, 3)), torch.randn(5, 3), torch.arange(40), torch.zeros(5, 40),
        torch.ones(5, 40, dtype=torch.bool),
    )  # fmt: skip
    with torch.no_grad():
        for one, other in zip(predict(model, batch, 4), predict(model.finished(), batch, 4), strict=True):
            assert one is not None
            assert other is not None
            torch.testing.assert_close(one, other, rtol=0, atol=5e-3)


def run_pretraining(expression: Path, genes: Path, out: Path, config: PretrainConfig, every: int = 20) -> dict:  # type: ignore[type-arg]
    table = out.with_suffix(".parquet")
    rng = np.random.default_rng(0)
    write_embeddings(table, sorted(SYMBOLS), rng.normal(size=(40, 6)).astype(np.float32))
    return pretrain_to_folder(
        [expression], genes, out, config, Sizes(16, 1, 2, spectral=4), table, 1, lambda p: None, lambda s: None, every
    )


@pytest.mark.slow
def test_pretraining_learns_the_planted_structure_and_resumes(genes: Path, expression: Path, tmp_path: Path) -> None:
    config = PretrainConfig(steps=240, tokens=512, panel=40, most_visible=4, rate=5e-3)
    metadata = run_pretraining(expression, genes, tmp_path / "whole", config)
    assert metadata["held_out"]["r2_4"] > 0.2
    weights = (tmp_path / "whole" / "weights.safetensors").read_bytes()
    assert not (tmp_path / "whole" / "resume.pt").exists()
    with pytest.raises(InputError, match="finished"):
        run_pretraining(expression, genes, tmp_path / "whole", config)

    from ugrn.export.pretrain import loop as module

    def stop(progress: module.TrainingStatus) -> None:
        if progress.step == 150:
            raise KeyboardInterrupt

    table = (tmp_path / "whole").with_suffix(".parquet")
    arguments = ([expression], genes, tmp_path / "resumed", config, Sizes(16, 1, 2, spectral=4), table, 1)
    with pytest.raises(KeyboardInterrupt):
        pretrain_to_folder(*arguments, stop, lambda s: None, 20)
    assert (tmp_path / "resumed" / "resume.pt").exists()
    pretrain_to_folder(*arguments, lambda p: None, lambda s: None, 20)
    assert (tmp_path / "resumed" / "weights.safetensors").read_bytes() == weights


def test_gene_sets_and_embeddings_reach_the_checkpoint(genes: Path, expression: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sets = [rng.choice(SYMBOLS, 5, replace=False) for _ in range(12)]
    gmt = tmp_path / "terms.gmt"
    gmt.write_text("".join("\t".join([f"T{n}", "", *each]) + "\n" for n, each in enumerate(sets)))
    table = tmp_path / "table.parquet"
    write_embeddings(table, sorted(SYMBOLS), rng.normal(size=(40, 6)).astype(np.float32))
    config = PretrainConfig(steps=4, tokens=64, panel=20, most_visible=4)
    metadata = pretrain_to_folder(
        [expression], genes, tmp_path / "out", config, Sizes(16, 1, 2, spectral=4), table, 1,
        lambda p: None, lambda s: None, gene_sets=gmt,
    )  # fmt: skip
    assert metadata["gene_embeddings"] == "table.parquet; gene sets of terms.gmt"
    found = load_checkpoint(tmp_path / "out").embeddings
    assert found is not None
    assert found.shape == (40, 6 + 11 + 4)  # names, sets, co-expression
    assert load_backbone("mini", tmp_path / "out").embeddings is not None
    listed = np.isin(sorted(SYMBOLS), np.concatenate(sets))
    lengths = np.linalg.norm(found[:, 6:17].astype(float), axis=1)
    np.testing.assert_allclose(lengths, listed, atol=2e-3)
    together = found[:, 6:17].astype(float) @ found[:, 6:17].astype(float).T
    place = {symbol: row for row, symbol in enumerate(sorted(SYMBOLS))}
    inside = [together[place[a], place[b]] for each in sets for a in each for b in each if a != b]
    assert np.mean(inside) > together.mean() + 0.2


def test_resuming_with_other_settings_is_refused(genes: Path, expression: Path, tmp_path: Path) -> None:
    config = PretrainConfig(steps=4, tokens=64, panel=20, most_visible=4)
    run_pretraining(expression, genes, tmp_path / "out", config, every=2)
    (tmp_path / "out" / "pretrained.json").unlink()
    other = PretrainConfig(steps=4, tokens=64, panel=20, most_visible=4, seed=1)

    from ugrn.export.pretrain import pretrain as module

    saved = tmp_path / "out" / "resume.pt"
    torch.save({"model": {}, "optimiser": {}, "step": 2, "settings": "others"}, saved)
    with pytest.raises(InputError, match=r"other settings"):
        run_pretraining(expression, genes, tmp_path / "out", other)
    assert module.CONTEXT_RANKED > 0

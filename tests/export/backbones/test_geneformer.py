"""Geneformer checkpoints against torch's own BERT layers in float64: hard ranks by sorting, soft ones by loops."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.checkpoints import geneformer
from tests.helpers.layers import State, cell, check, lin, ln, tame
from ugrn.export.graph.probe import Probe
from ugrn.export.graph.tracing import export_onnx
from ugrn.export.registry import load_backbone
from ugrn.runtime.engine.session import GraphSession, RuntimeSettings
from ugrn.runtime.errors import InputError


class Bert:
    """One cell at a time, from torch's own layers."""

    def __init__(self, state: State, version: str, medians: dict[str, float]) -> None:
        self.s = {key: value.double() for key, value in state.items()}
        self.first = len(geneformer.SPECIAL[version])
        self.framed = version == "V2"
        self.medians = list(medians.values())
        self.layers = [self._layer(f"bert.encoder.layer.{index}.") for index in range(geneformer.LAYERS)]

    def _layer(self, at: str) -> nn.TransformerEncoderLayer:
        layer = nn.TransformerEncoderLayer(
            geneformer.WIDTH, geneformer.HEADS, geneformer.FEED, 0.0, "relu", 1e-12, batch_first=True
        ).double()
        own = {"self_attn.out_proj": "attention.output.dense", "linear1": "intermediate.dense"}
        own |= {"linear2": "output.dense", "norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}
        state = {f"{name}.{k}": self.s[f"{at}{key}.{k}"] for name, key in own.items() for k in ("weight", "bias")}
        for k in ("weight", "bias"):
            parts = [self.s[f"{at}attention.self.{name}.{k}"] for name in ("query", "key", "value")]
            state[f"self_attn.in_proj_{k}"] = torch.cat(parts)
        layer.load_state_dict(state)
        return layer.train()

    def token(self, word: Tensor, place: Tensor) -> Tensor:
        table = self.s["bert.embeddings.position_embeddings.weight"]
        low = int(place.detach().floor())
        high = min(low + 1, geneformer.PLACES - 1)
        at = table[low] + (place - low) * (table[high] - table[low])
        return ln(self.s, word + at + self.s["bert.embeddings.token_type_embeddings.weight"][0],
                  "bert.embeddings.LayerNorm", 1e-12)  # fmt: skip

    def word(self, gene: int) -> Tensor:
        return self.s["bert.embeddings.word_embeddings.weight"][self.first + gene]

    def score(self, gene: int, value: Tensor) -> Tensor:
        return torch.log(value) - math.log(self.medians[gene])

    def ahead(self, gene: int, value: Tensor, cells: dict[int, Tensor], source: int, temperature: float) -> Tensor:
        """Number of genes of the cell that rank before one."""
        total = torch.zeros((), dtype=torch.float64)
        for other, carried in cells.items():
            if other == gene or carried.detach() <= 0:
                continue
            mine, theirs = self.score(gene, value), self.score(other, carried)
            if source in (gene, other):
                total = total + torch.sigmoid((theirs - mine) / temperature)
            elif theirs > mine or (theirs == mine and other < gene):
                total = total + 1
        return total

    def tokens_of(self, cells: dict[int, Tensor], source: int, temperature: float) -> tuple[list[int], list[Tensor]]:
        """The genes of a cell and its tokens, framed where the version frames them."""
        shift = 1 if self.framed else 0
        seen = [gene for gene, value in cells.items() if value.detach() > 0]
        x = [self.token(self.word(g), shift + self.ahead(g, cells[g], cells, source, temperature)) for g in seen]
        if self.framed:
            specials = self.s["bert.embeddings.word_embeddings.weight"][2:4]
            x = [self.token(specials[0], torch.tensor(0.0)), *x, self.token(specials[1], torch.tensor(len(seen) + 1.0))]
        return seen, x

    def answer(self, cells: dict[int, Tensor], source: int, target: int, baseline: float, masked: bool,
               temperature: float) -> Tensor:  # fmt: skip
        shift = 1 if self.framed else 0
        seen, x = self.tokens_of(cells, source, temperature)
        value = cells.get(target, torch.tensor(baseline, dtype=torch.float64))
        place = shift + self.ahead(target, value, cells, source, temperature)
        word = self.s["bert.embeddings.word_embeddings.weight"][1] if masked else self.word(target)
        own = [shift + seen.index(target)] if target in seen else []
        return self.ask(x, self.token(word, place), own)

    def ask(self, x: list[Tensor], query: Tensor, own: list[int]) -> Tensor:
        tokens = torch.stack([*x, query])
        hide = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
        hide[:-1, -1] = True
        hide[-1, own] = True
        for layer in self.layers:
            tokens = layer(tokens[None], src_mask=hide)[0]
        return tokens[-1]

    def expected_rank(self, cells: dict[int, Tensor], source: int, target: int, temperature: float) -> Tensor:
        """Mask every position in turn; where is the target most at home?"""
        shift = 1 if self.framed else 0
        seen, x = self.tokens_of(cells, source, temperature)
        logs = []
        for place in range(len(seen)):
            ranks = [float(self.ahead(g, cells[g], cells, source, temperature).detach()) for g in seen]
            own = [shift + n for n, rank in enumerate(ranks) if math.floor(rank + 0.5) == place]
            masked = self.token(self.s["bert.embeddings.word_embeddings.weight"][1], torch.tensor(shift + float(place)))
            logs.append(self.head(self.ask(x, masked, own), target, True))
        odds = torch.stack(logs).exp()
        return sum(place * share for place, share in enumerate(odds / odds.sum()))

    def head(self, out: Tensor, target: int, logs: bool) -> Tensor:
        hidden = F.relu(lin(self.s, out, "cls.predictions.transform.dense"))
        hidden = ln(self.s, hidden, "cls.predictions.transform.LayerNorm", 1e-12)
        logits = self.s["bert.embeddings.word_embeddings.weight"] @ hidden + self.s["cls.predictions.bias"]
        logits = logits[self.first :]
        return (F.log_softmax(logits, 0) if logs else logits)[target]


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize(
    ("readout", "logs"), [("masked", False), ("masked", True), ("token", False), ("shift", False), ("rank", False)]
)
def test_equals_the_reference(tmp_path: Path, version: str, readout: str, logs: bool) -> None:
    torch.manual_seed(9)
    compare(tmp_path, geneformer.make(version), version, readout, logs)


@pytest.mark.slow
def test_size_of_v2_104m(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"WIDTH": 768, "HEADS": 12, "FEED": 3072, "LAYERS": 12, "GENES": 20_271, "PLACES": 4096}
    for name, size in sizes.items():
        monkeypatch.setattr(geneformer, name, size)
    torch.manual_seed(0)
    state = geneformer.make("V2")
    tame(state)
    compare(tmp_path, state, "V2", "masked", False)


def compare(tmp_path: Path, state: State, version: str, readout: str, logs: bool) -> None:
    folder, medians = geneformer.write(tmp_path, state, version)
    loaded = load_backbone("geneformer", folder, [f"log-probability={logs}", "temperature=0.5"])
    bert = Bert(state, version, medians)

    def reference(context: list[int], values: list[float], source: int, level: Tensor, target: int) -> Tensor:
        cells = cell(context, values, source, level)
        if readout == "rank":
            return -bert.expected_rank(cells, source, target, 0.5)
        out = bert.answer(cells, source, target, 1.0, readout == "masked", 0.5)
        if readout != "shift":
            return bert.head(out, target, logs)
        still = {**cells, source: torch.tensor(1.0, dtype=torch.float64)}
        return 1 - F.cosine_similarity(out, bert.answer(still, source, target, 1.0, False, 0.5), dim=0)

    check(loaded.backbone, readout, reference, (0.2, 9.0), baseline=1.0)
    check(loaded.backbone, readout, reference, (0.2, 9.0), baseline=1.0, seed=2, silent=True)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_without_temperature_it_is_geneformers_own_input(tmp_path: Path, version: str) -> None:
    """Ranks by sorting, the joint pass over the sorted cell, as upstream tokenises."""
    torch.manual_seed(10)
    state = geneformer.make(version)
    folder, medians = geneformer.write(tmp_path, state, version)
    backbone = load_backbone("geneformer", folder, ["temperature=1e-6"]).backbone
    bert = Bert(state, version, medians)
    context, values = [3, 5, 7, 9, 11], [1.3, 0.4, 2.0, 1.1, 5.0]
    module = Probe(backbone, "token", 1.0).module(False, double=True)
    with torch.no_grad():
        (value,) = module(torch.tensor(context), torch.tensor(values).double(), torch.tensor([1]),
                          torch.tensor([[0.5, 3.0]]).double(), torch.tensor([*context, 1]))  # fmt: skip
    for k, level in enumerate((0.5, 3.0)):
        counts = dict(zip([*context, 1], [*values, level], strict=True))
        ranked = sorted(counts, key=lambda gene: -counts[gene] / bert.medians[gene])
        words = [bert.word(gene) for gene in ranked]
        if version == "V2":
            special = bert.s["bert.embeddings.word_embeddings.weight"]
            words = [special[2], *words, special[3]]
        x = torch.stack(words) + bert.s["bert.embeddings.position_embeddings.weight"][: len(words)]
        x = ln(
            bert.s, x + bert.s["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings.LayerNorm", 1e-12
        )
        for layer in bert.layers:
            x = layer(x[None])[0]
        for q, target in enumerate([*context, 1]):
            place = ranked.index(target) + (version == "V2")
            torch.testing.assert_close(value[0, k, q], bert.head(x[place], target, False), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_exported_ranks_do_not_depend_on_rounding(tmp_path: Path) -> None:
    """Context genes as targets, every one of them: a rank off by one would show as a large deviation."""
    torch.manual_seed(11)
    folder, _ = geneformer.write(tmp_path, geneformer.make("V1"), "V1")
    probe = Probe(load_backbone("geneformer", folder).backbone, "token", 1.0)
    export_onnx(probe, False, tmp_path / "vvp.onnx")
    session = GraphSession(tmp_path / "vvp.onnx", RuntimeSettings(provider="cpu"))
    double = probe.module(False, double=True)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        genes = rng.permutation(geneformer.GENES)
        values = rng.choice([1.0, 0.7, 2.5], 12).astype(np.float32)
        inputs = (
            genes[:12],
            values,
            genes[12:14],
            rng.uniform(0.2, 9, (2, 3)).astype(np.float32),
            genes[: 3 + seed % 13],
        )
        (found,) = session.run(*inputs)
        with torch.no_grad():
            tensors = [torch.from_numpy(each) for each in inputs]
            (expected,) = double(*[each.double() if each.is_floating_point() else each for each in tensors])
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_pickled_dictionaries_need_leave(tmp_path: Path) -> None:
    folder, _ = geneformer.write(tmp_path, geneformer.make("V1"), "V1", pickled=True)
    with pytest.raises(InputError, match="can run code"):
        load_backbone("geneformer", folder)
    loaded = load_backbone("geneformer", folder, ["allow-pickle=true"])
    assert loaded.origin.aliases["SYM3"] == "ENSG00000000003"
    assert "OTHER" not in loaded.origin.aliases
    (folder / "token_dictionary.pkl").write_bytes(pickle.dumps({"a": Path("x")}))
    with pytest.raises(InputError, match="no plain data"):
        load_backbone("geneformer", folder, ["allow-pickle=true"])


@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_untied_decoder_is_refused(tmp_path: Path, kind: str) -> None:
    state = geneformer.make("V1")
    state[f"cls.predictions.decoder.{kind}"] += 1
    folder, _ = geneformer.write(tmp_path, state, "V1")
    with pytest.raises(InputError, match=f"decoder.{kind} is not tied"):
        load_backbone("geneformer", folder)


def test_gene_without_median_is_named(tmp_path: Path) -> None:
    folder, medians = geneformer.write(tmp_path, geneformer.make("V1"), "V1")
    del medians["ENSG00000000004"]
    (folder / "gene_median_dictionary.json").write_text(json.dumps(medians))
    with pytest.raises(InputError, match="ENSG00000000004"):
        load_backbone("geneformer", folder)

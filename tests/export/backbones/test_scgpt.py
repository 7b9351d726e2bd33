"""scGPT checkpoints in the genuine formats against a reference from torch's own modules in float64.

The reference knows the checkpoint only by its key names and shares no code with the product.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.checkpoints import scgpt
from tests.helpers.layers import State, tame
from ugrn.export.graph.probe import Probe, random_inputs
from ugrn.export.model.base import with_levels
from ugrn.export.registry import load_backbone


class Reference:
    """A slow scGPT: one virtual cell at a time, every target with a pass of its own where it needs one."""

    def __init__(self, state: State, layout: str, cls_value: float, batch: int = 0, zero: bool = False) -> None:
        self.s = {key: value.double() for key, value in state.items()}
        self.layout, self.batch, self.zero = layout, batch, zero
        self.cls_value = torch.tensor([cls_value], dtype=torch.float64)
        self.layers = [self._layer(f"transformer_encoder.layers.{index}.") for index in range(scgpt.LAYERS)]

    def _layer(self, at: str) -> nn.TransformerEncoderLayer:
        layer = nn.TransformerEncoderLayer(
            scgpt.WIDTH, scgpt.HEADS, scgpt.FEED, 0.0, "relu", batch_first=True, dtype=torch.float64
        )
        impl = "_impl." if "_impl" in self.layout else ""
        own = {"self_attn.in_proj_weight": f"{self.layout}weight", "self_attn.in_proj_bias": f"{self.layout}bias"}
        names = {
            name: own.get(name, name.replace("self_attn.out", f"self_attn.{impl}out")) for name in layer.state_dict()
        }
        layer.load_state_dict({name: self.s[at + key] for name, key in names.items()})
        return layer.train()

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (scgpt.WIDTH,), self.s[f"{name}.weight"], self.s[f"{name}.bias"])

    def lin(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.s[f"{name}.weight"], self.s.get(f"{name}.bias"))

    def mlp(self, x: Tensor, name: str) -> Tensor:
        x = F.leaky_relu(self.lin(x, f"{name}.0"))
        return self.lin(F.leaky_relu(self.lin(x, f"{name}.2")), f"{name}.4")[..., 0]

    def gene(self, ids: Tensor) -> Tensor:
        return self.norm(self.s["encoder.embedding.weight"][ids], "encoder.enc_norm")

    def value(self, values: Tensor) -> Tensor:
        hidden = F.relu(self.lin(values.clamp(max=512)[:, None], "value_encoder.linear1"))
        return self.norm(self.lin(hidden, "value_encoder.linear2"), "value_encoder.norm")

    def scaled(self, tokens: Tensor) -> Tensor:
        name = f"dsbn.bns.{self.batch}" if "dsbn.bns.0.running_mean" in self.s else "bn"
        if f"{name}.running_mean" not in self.s:
            return tokens
        return F.batch_norm(
            tokens, self.s[f"{name}.running_mean"], self.s[f"{name}.running_var"], self.s.get(f"{name}.weight"),
            self.s.get(f"{name}.bias"), eps=6.1e-5,
        )  # fmt: skip

    def labelled(self, x: Tensor) -> Tensor:
        if "batch_encoder.embedding.weight" not in self.s:
            return x
        label = self.norm(self.s["batch_encoder.embedding.weight"][self.batch], "batch_encoder.enc_norm")
        return torch.cat([x, label.expand(*x.shape[:-1], scgpt.WIDTH)], -1)

    def read(self, out: Tensor) -> Tensor:
        out = self.labelled(out)
        read = self.mlp(out, "decoder.fc")
        return read * torch.sigmoid(self.mlp(out, "decoder.zero_logit")) if self.zero else read

    def tokens(self, genes: list[int], values: Tensor, cls: bool = True, flags: list[int] | None = None) -> Tensor:
        x = self.gene(torch.tensor(genes, dtype=torch.int64)) + self.value(values)
        if flags is not None:
            x = x + self.s["pert_encoder.weight"][torch.tensor(flags)]
        if cls:
            first = self.gene(torch.tensor([scgpt.GENES + 1])) + self.value(self.cls_value)
            x = torch.cat([first, x])
        return self.scaled(x)

    def joint(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x[None])[0]
        return x

    def with_unseen(self, x: Tensor, extra: Tensor, own: int | None) -> Tensor:
        """Output of one more token that nobody sees, and that does not see token `own`."""
        x = torch.cat([x, extra[None]])
        hide = torch.zeros(len(x), len(x), dtype=torch.bool)
        hide[:-1, -1] = True
        if own is not None:
            hide[-1, own] = True
        for layer in self.layers:
            x = layer(x[None], src_mask=hide)[0]
        return x[-1]

    def generated(self, x: Tensor, extra: Tensor, own: int | None) -> Tensor:
        """Output of a generated token: attention head by head, its output projection left out."""
        for index, layer in enumerate(self.layers):
            weight, bias = (self.s[f"transformer_encoder.layers.{index}.{self.layout}{n}"] for n in ("weight", "bias"))
            both = torch.cat([x, extra[None]])
            keep = [row for row in range(len(both)) if row != own]
            heads = []
            for head in range(scgpt.HEADS):
                part = slice(head * scgpt.WIDTH // scgpt.HEADS, (head + 1) * scgpt.WIDTH // scgpt.HEADS)
                rows = [list(range(n * scgpt.WIDTH, (n + 1) * scgpt.WIDTH))[part] for n in range(3)]
                q, k, v = (F.linear(both, weight[each], bias[each]) for each in rows)
                share = F.softmax(k[keep] @ q[-1] / (scgpt.WIDTH // scgpt.HEADS) ** 0.5, 0)
                heads.append(share @ v[keep])
            attended = layer.norm1(extra + torch.cat(heads))
            extra = layer.norm2(attended + layer.linear2(F.relu(layer.linear1(attended))))
            x = layer(x[None])[0]
        return extra

    def mvc(self, cls: Tensor, target: int) -> Tensor:
        gene = self.gene(torch.tensor(target))
        query = torch.sigmoid(self.lin(gene, "mvc_decoder.gene2query"))
        cell = self.labelled(cls)
        if "mvc_decoder.W.weight" in self.s:
            read = self.lin(query, "mvc_decoder.W") @ cell
            return read * torch.sigmoid(self.lin(query, "mvc_decoder.W_zero_logit") @ cell) if self.zero else read
        style = self.s["mvc_decoder.fc1.weight"].shape[1] > scgpt.WIDTH
        hidden = F.prelu(
            self.lin(torch.cat([cell, query]) if style else cell + query, "mvc_decoder.fc1"),
            self.s["mvc_decoder.hidden_activation.weight"],
        )
        return self.lin(hidden, "mvc_decoder.fc2")[0]

    def cell(self, context: list[int], values: list[float], source: int, level: Tensor) -> tuple[list[int], Tensor]:
        genes = [source] + [g for g in context if g != source]
        known = dict(zip(context, values, strict=True))
        rest = [torch.tensor(known[g], dtype=torch.float64) for g in genes[1:]]
        return genes, torch.stack([level, *rest])

    def predict(self, readout: str, genes: list[int], values: Tensor, target: int, baseline: float) -> Tensor:
        pert = "pert_encoder.weight" in self.s
        x = self.tokens(genes, values, cls=not pert, flags=[0] * len(genes) if pert else None)
        shift = 0 if pert else 1
        if readout == "mvc":
            return self.mvc(self.joint(x)[0], target)
        place = genes.index(target) if target in genes else None
        own = None if place is None else place + shift
        carried = torch.tensor(baseline, dtype=torch.float64) if place is None else values[place]
        if readout == "gen":
            extra = self.gene(torch.tensor(target)) + self.s["flag_encoder.weight"][1]
            return self.read(self.generated(x, extra, own))
        if readout == "masked":
            extra = self.tokens([target], torch.tensor([-1.0], dtype=torch.float64), cls=False)[0]
            return self.read(self.with_unseen(x, extra, own))
        if place is not None:
            out = self.joint(x)[own]
        else:
            extra = self.tokens([target], carried[None], cls=False, flags=[0] if pert else None)[0]
            out = self.with_unseen(x, extra, None)
        if pert:
            return self.mlp(out, "decoder.coeff_decoder.fc") * carried + self.mlp(out, "decoder.bias_decoder.fc")
        return self.read(out)


LAYOUTS = ("self_attn.Wqkv.", "self_attn._impl.Wqkv.", "self_attn.in_proj_")
CASES = [
    *(("human", layout, readout, ()) for layout in LAYOUTS for readout in ("gen", "mvc")),
    ("human", LAYOUTS[0], "token", ("cls-value=0.5",)),
    ("human", LAYOUTS[0], "masked", ()),
    *(("blood", LAYOUTS[0], readout, ()) for readout in ("masked", "mvc", "token")),
    *(("dsbn", LAYOUTS[2], readout, ("batch=2", "zero-probability=true")) for readout in ("masked", "mvc", "token")),
    ("dsbn_plain", LAYOUTS[0], "masked", ("batch=1",)),
    ("concat", LAYOUTS[0], "mvc", ()),
    ("sum", LAYOUTS[0], "mvc", ()),
    ("perturbation", LAYOUTS[0], "token", ()),
]


@pytest.mark.parametrize(("kind", "layout", "readout", "settings"), CASES)
def test_equals_the_reference(tmp_path: Path, kind: str, layout: str, readout: str, settings: tuple[str, ...]) -> None:
    torch.manual_seed(len(kind) + len(layout))
    compare(tmp_path, scgpt.make_state(kind, layout), kind, layout, readout, settings)


def test_values_that_training_never_saw_are_named(tmp_path: Path) -> None:
    """Released checkpoints saw non-zero genes only; fine-tunes saw zeros."""
    for kind, readout, expected in (("human", "gen", ["out of distribution: the values 0, 60"]), ("blood", "mvc", [])):
        card = load_backbone("scgpt", scgpt.write(tmp_path / kind, scgpt.make_state(kind))).backbone.card
        levels = (0.0, 60.0) if kind == "human" else (0.0, 50.0)
        found = with_levels(card, vvp_levels=levels).cautions(readout)  # type: ignore[arg-type]
        assert [caution.split(";")[0] for caution in found] == expected
    assert "never part of scGPT's loss" in card.cautions("token")[0]


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["gen", "mvc"])
def test_whole_human_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readout: str) -> None:
    for name, size in (("WIDTH", 512), ("HEADS", 8), ("FEED", 512), ("LAYERS", 12), ("GENES", 60_694)):
        monkeypatch.setattr(scgpt, name, size)
    monkeypatch.setitem(scgpt.ARGS, "embsize", 512)
    for name, size in (("nheads", 8), ("d_hid", 512), ("nlayers", 12)):
        monkeypatch.setitem(scgpt.ARGS, name, size)
    torch.manual_seed(0)
    state = scgpt.make_state("human")
    tame(state)
    assert sum(tensor.numel() for tensor in state.values()) == 51_330_049
    compare(tmp_path, state, "human", LAYOUTS[0], readout, ())


def compare(tmp_path: Path, state: State, kind: str, layout: str, readout: str, settings: tuple[str, ...]) -> None:
    backbone = load_backbone("scgpt", scgpt.write(tmp_path / "c", state), settings).backbone
    baseline = 3.0
    options = dict(setting.split("=") for setting in settings)
    cls_value = float(options.get("cls-value", -2 if kind == "human" else 0))
    reference = Reference(state, layout, cls_value, int(options.get("batch", 0)), "zero-probability" in options)
    inputs = random_inputs(scgpt.GENES, (3, 2, 4, 5), np.random.default_rng(len(readout)), (0.5, 9.0))
    inputs = (*inputs[:4], np.array([inputs[2][0], inputs[0][1], inputs[0][0], *inputs[4][3:]]))
    probe = Probe(backbone, readout, baseline)  # type: ignore[arg-type]
    with torch.no_grad():
        found = probe.module(True, double=True)(
            *[
                torch.from_numpy(each).double() if each.dtype == np.float32 else torch.from_numpy(each)
                for each in inputs
            ]
        )
    context, values, sources, levels, targets = inputs
    for s, source in enumerate(sources.tolist()):
        for k in range(levels.shape[1]):
            level = torch.tensor(float(levels[s, k]), dtype=torch.float64, requires_grad=True)
            genes, carried = reference.cell(context.tolist(), values.tolist(), source, level)
            for q, target in enumerate(targets.tolist()):
                expected = reference.predict(readout, genes, carried, target, baseline)
                slope = torch.autograd.grad(expected, level)[0]
                torch.testing.assert_close(found[0][s, k, q], expected.detach(), rtol=1e-5, atol=1e-6)
                torch.testing.assert_close(found[1][s, k, q], slope, rtol=1e-4, atol=1e-6)

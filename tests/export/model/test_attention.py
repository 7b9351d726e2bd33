"""The attention functions against softmax attention written out, and their tangents against reverse-mode autograd."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ugrn.export.autodiff.tangent import Dual, split
from ugrn.export.model.attention import attend_context, attend_query, attend_shared, query_weights
from ugrn.export.model.layers import PostNormLayer

R, S, H, B, WIDTH = 6, 2, 3, 5, 4


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def plain(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """Softmax attention, one row, head and query at a time."""
    out = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for row, head, place in itertools.product(*map(range, q.shape[:3])):
        seen = ~hidden.expand(*q.shape[:3], k.shape[2])[row, head, place]
        scores = k[row, head, seen] @ q[row, head, place] / q.shape[-1] ** 0.5
        out[row, head, place] = torch.softmax(scores, 0) @ v[row, head, seen]
    return out


def directional(function, inputs: list[Tensor], tangents: list[Tensor]) -> Tensor:  # type: ignore[no-untyped-def]
    """d/dt function(inputs + t * tangents) at t = 0, one reverse pass per output."""
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    out = function(*(x + t * dx for x, dx in zip(inputs, tangents, strict=True)))
    slopes = [torch.autograd.grad(y, t, retain_graph=True)[0] for y in out.reshape(-1)]
    return torch.stack(slopes).reshape(out.shape)


@pytest.mark.parametrize("wide", [False, True], ids=["heads at once", "heads one by one"])
@pytest.mark.parametrize("moving", list(itertools.product([False, True], repeat=3)), ids=str)
def test_attend_context(moving: tuple[bool, bool, bool], wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ugrn.export.model.attention.WIDE", WIDTH if wide else WIDTH + 1)
    torch.manual_seed(sum(moving))
    inputs = [random(R, H, 2, WIDTH), random(R, H, B, WIDTH), random(R, H, B, WIDTH)]
    hidden = torch.rand(R, 1, 1, B) < 0.4
    hidden[..., 0] = False
    tangents = [random(*x.shape) * moves for x, moves in zip(inputs, moving, strict=True)]
    given = [Dual(x, dx) if m else x for x, dx, m in zip(inputs, tangents, moving, strict=True)]
    value, tangent = split(attend_context(*given, hidden))  # type: ignore[arg-type]
    torch.testing.assert_close(value, plain(*inputs, hidden))
    if not any(moving):
        assert tangent is None
        return
    expected = directional(lambda q, k, v: plain(q, k, v, hidden), inputs, tangents)
    torch.testing.assert_close(tangent, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("moving", [(False, False), (False, True), (True, True)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_a_few_tokens_attend_as_with_keys_and_values_of_all(moving: tuple[bool, bool], masked: bool) -> None:
    torch.manual_seed(sum(moving) + 3 * masked)
    layer = PostNormLayer(H * WIDTH, H, 7).double().requires_grad_(False)
    torch.nn.init.normal_(layer.qkv.bias)
    inputs = [random(R, 2, H * WIDTH), random(R, B, H * WIDTH)]
    hidden = (torch.rand(R, 1, 1, B) < 0.4) & masked
    hidden[..., 0] = False

    def reference(few: Tensor, tokens: Tensor) -> Tensor:
        return plain(layer.queries(few), *layer.keys_values(tokens), hidden)

    tangents = [random(*x.shape) * moves for x, moves in zip(inputs, moving, strict=True)]
    given = [Dual(x, dx) if m else x for x, dx, m in zip(inputs, tangents, moving, strict=True)]
    value, tangent = split(layer.attend_few(*given, hidden if masked else None))  # type: ignore[arg-type]
    torch.testing.assert_close(value, reference(*inputs))
    if not any(moving):
        assert tangent is None
        return
    torch.testing.assert_close(tangent, directional(reference, inputs, tangents), rtol=1e-9, atol=1e-11)


def joined(shared: Tensor, own: Tensor) -> Tensor:
    return torch.cat([shared.expand(R, H, B, WIDTH), own], dim=2)


@pytest.mark.parametrize("hide_all", [False, True])
def test_attend_shared_is_attention_over_the_shared_tokens_and_the_rows_own(hide_all: bool) -> None:
    torch.manual_seed(hide_all)
    q, k, v = (random(1, H, B, WIDTH) for _ in range(3))
    own, tangents = [random(R, H, 1, WIDTH) for _ in range(2)], [random(R, H, 1, WIDTH) for _ in range(2)]
    hidden = torch.rand(S, 1, 1, B) < (2.0 if hide_all else 0.4)
    rows = torch.cat([hidden.repeat_interleave(R // S, dim=0), torch.zeros(R, 1, 1, 1, dtype=torch.bool)], dim=3)

    def reference(own_k: Tensor, own_v: Tensor) -> Tensor:
        return plain(q.expand(R, H, B, WIDTH), joined(k, own_k), joined(v, own_v), rows)

    given = [Dual(x, dx) for x, dx in zip(own, tangents, strict=True)]
    value, tangent = split(attend_shared(q, k, v, *given, hidden))  # type: ignore[arg-type]
    torch.testing.assert_close(value, reference(*own))
    torch.testing.assert_close(tangent, directional(reference, own, tangents), rtol=1e-9, atol=1e-11)


def test_attend_shared_with_nothing_shared() -> None:
    empty = random(1, H, 0, WIDTH)
    found = attend_shared(empty, empty, empty, random(R, H, 1, WIDTH), random(R, H, 1, WIDTH), None)
    assert found.shape == (R, H, 0, WIDTH)


@pytest.mark.parametrize("rows", [1, R], ids=["queries all rows share", "queries of each row"])
def test_queries_attend_to_the_context_and_themselves(rows: int) -> None:
    torch.manual_seed(rows)
    q, own_k, own_v = (random(rows, H, 3, WIDTH) for _ in range(3))
    inputs, tangents = [random(R, H, B, WIDTH) for _ in range(2)], [random(R, H, B, WIDTH) for _ in range(2)]
    hidden = torch.rand(R, 1, 3, B) < 0.4

    def reference(k: Tensor, v: Tensor) -> Tensor:
        every = []
        for place in range(3):
            one = slice(place, place + 1)
            mine = [x.expand(R, H, 3, WIDTH)[:, :, one] for x in (q, own_k, own_v)]
            mask = torch.cat([hidden[:, :, one], torch.zeros(R, 1, 1, 1, dtype=torch.bool)], dim=3)
            every.append(plain(mine[0], torch.cat([k, mine[1]], 2), torch.cat([v, mine[2]], 2), mask))
        return torch.cat(every, dim=2)

    k, v = (Dual(x, dx) for x, dx in zip(inputs, tangents, strict=True))
    value, tangent = split(attend_query(query_weights(q, own_k, k, hidden), own_v, v))  # type: ignore[arg-type]
    torch.testing.assert_close(value, reference(*inputs))
    torch.testing.assert_close(tangent, directional(reference, inputs, tangents), rtol=1e-9, atol=1e-11)

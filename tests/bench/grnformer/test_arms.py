"""The arms' networks: their degrees, what they are made from, and what they must not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bench.grnformer.arms import ArmInputs, Wiring, cosine, describe, make_arm, of_states
from bench.grnformer.differences import ARMS, BY_STATE, LIKE

from ugrn.export.networks.network import Network

GENES, CELLS, TOP = 30, 50, 4


def draw(random: np.random.Generator, genes: int = GENES, top: int = TOP) -> Network:
    """A network in which every gene has as many targets."""
    targets = [random.choice(np.delete(np.arange(genes), gene), top, replace=False) for gene in range(genes)]
    return Network.of(np.repeat(np.arange(genes), top), np.concatenate(targets), genes)


@pytest.fixture
def material(random: np.random.Generator) -> ArmInputs:
    ugrn = draw(random)
    groups = random.integers(3, size=CELLS)
    active = random.random((CELLS, GENES)) < 0.5
    return ArmInputs(
        ugrn=ugrn,
        likeness=cosine(random.normal(size=(GENES, 6))),
        by_group=of_states([draw(random) for _ in range(3)], groups),
        by_cell=Wiring(ugrn, active[:, ugrn.sources].astype(np.float32), np.arange(CELLS)),
        measured=random.normal(size=(CELLS, GENES)).astype(np.float32),
    )


def degrees(network: Network) -> tuple[list[int], list[int]]:
    ends = network.sources, network.targets
    return tuple(np.bincount(each, minlength=network.genes).tolist() for each in ends)  # type: ignore[return-value]


def edges_of(network: Network) -> set[tuple[int, int]]:
    return set(zip(network.sources.tolist(), network.targets.tolist(), strict=True))


def test_arms_have_the_promised_degrees(material: ArmInputs) -> None:
    train = np.arange(30)
    out, into = degrees(material.ugrn)
    random = make_arm("random", material, train, 0).wirings[0].network
    assert degrees(random) == (out, into)
    assert edges_of(random) != edges_of(material.ugrn)
    for name in ("co-expression", "text"):
        network = make_arm(name, material, train, 0).wirings[0].network
        assert degrees(network)[0] == out
        assert not (network.sources == network.targets).any()
    assert len(make_arm("no edges", material, train, 0).wirings[0].network) == 0
    assert make_arm("none", material, train, 0).wirings == ()
    assert make_arm("ugrn", material, train, 0).wirings[0].network is material.ugrn
    assert [len(make_arm(name, material, train, 0).wirings) for name in ("cell-type", "cell-specific", "both")] == [
        1,
        1,
        2,
    ]


def test_random_arms_of_states_have_as_many_targets_in_every_state(material: ArmInputs) -> None:
    for name in BY_STATE:
        own, drawn = (make_arm(each, material, None, 0).wirings for each in (name, LIKE[name]))
        assert len(own) == len(drawn)
        for old, new in zip(own, drawn, strict=True):
            assert degrees(old.network) == degrees(new.network)
            assert edges_of(old.network) != edges_of(new.network)
            assert old.weights is not None
            assert new.weights is not None
            assert old.state is new.state
            for before, after in zip(old.weights, new.weights, strict=True):
                counts = (np.bincount(old.network.sources, before), np.bincount(new.network.sources, after))
                assert np.array_equal(*counts)


def test_random_arms_share_no_more_than_chance_where_the_states_together_have_all_edges(
    random: np.random.Generator,
) -> None:
    states = 40
    networks = [draw(random) for _ in range(states)]
    own = of_states(networks, np.arange(states))
    assert len(own.network) > 0.98 * GENES * (GENES - 1)
    drawn = make_arm("random cell-type", ArmInputs(ugrn=networks[0], by_group=own), None, 0).wirings[0]
    assert drawn.weights is not None
    shared = [
        len(edges_of(state) & {edge for edge, there in zip(sorted(edges_of(drawn.network)), row, strict=True) if there})
        for state, row in zip(networks, drawn.weights, strict=True)
    ]
    chance = GENES * TOP * TOP / (GENES - 1)
    assert 0.7 * chance < np.mean(shared) < 1.3 * chance


def test_seeds_draw_other_random_networks_and_the_same_one_again(material: ArmInputs) -> None:
    drawn = [edges_of(make_arm("random", material, None, seed).wirings[0].network) for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_text_links_those_of_the_most_alike_names(material: ArmInputs) -> None:
    network = make_arm("text", material, None, 0).wirings[0].network
    assert material.likeness is not None
    for gene in range(GENES):
        alike = {other: float(material.likeness[gene, other]) for other in range(GENES) if other != gene}
        wanted = set(sorted(alike, key=lambda other: -alike[other])[:TOP])
        assert set(network.targets[network.sources == gene].tolist()) == wanted


def test_no_test_cell_is_seen_by_coexpression(material: ArmInputs, random: np.random.Generator) -> None:
    train = np.sort(random.choice(CELLS, 30, replace=False))
    changed = np.array(material.measured)
    changed[np.setdiff1d(np.arange(CELLS), train)] = 1e3 * random.normal(size=(20, GENES))
    other = replace(material, measured=changed)
    before, after = (make_arm("co-expression", each, train, 0) for each in (material, other))
    assert edges_of(before.wirings[0].network) == edges_of(after.wirings[0].network)
    assert before.links is not None
    assert after.links is not None
    assert edges_of(before.links) == edges_of(after.links)
    seen = make_arm("co-expression", other, None, 0)  # the test can fail
    assert edges_of(seen.wirings[0].network) != edges_of(before.wirings[0].network)


def test_unmeasured_genes_have_random_links(material: ArmInputs) -> None:
    values = np.array(material.measured)
    values[:, 7] = np.nan
    first, second = (
        make_arm("co-expression", replace(material, measured=values), None, seed).wirings[0].network for seed in (0, 1)
    )
    of_seven = [set(each.targets[each.sources == 7].tolist()) for each in (first, second)]
    assert [len(each) for each in of_seven] == [TOP, TOP]
    assert of_seven[0] != of_seven[1]
    assert {edge for edge in edges_of(first) if edge[0] != 7} == {edge for edge in edges_of(second) if edge[0] != 7}


def test_every_state_has_its_own_edges(random: np.random.Generator) -> None:
    networks, state = [draw(random) for _ in range(3)], np.array([2, 0, 1, 2])
    wiring = of_states(networks, state)
    edges = wiring.edges(np.array([3, 1]))
    assert edges.weights is not None
    for row, network in enumerate((networks[2], networks[0])):
        on = edges.weights[row] > 0
        pairs = zip(edges.sources[on].tolist(), edges.targets[on].tolist(), strict=True)
        assert set(pairs) == edges_of(network)


def test_a_share_of_the_edges_is_replaced_and_weights_stay_with_theirs(
    material: ArmInputs, random: np.random.Generator
) -> None:
    for name in ("ugrn", "cell-specific", "both"):
        arm = make_arm(name, material, None, 0)
        changed = arm.perturbed(0.2, random)
        assert arm.links is not None
        for old, new in zip(arm.wirings, changed.wirings, strict=True):
            before, after = edges_of(old.network), edges_of(new.network)
            assert len(new.network) == len(after) == len(before)
            assert len(before - after) == round(0.2 * len(before))
            assert after - before <= edges_of(arm.links)
            if old.weights is None:
                continue
            assert new.weights is not None
            keys = {key: place for place, key in enumerate(old.network.keys().tolist())}
            for place, key in enumerate(new.network.keys().tolist()):
                wanted = old.weights[:, keys[key]] if key in keys else old.weights.mean(1)
                assert np.array_equal(new.weights[:, place], wanted)
    assert make_arm("no edges", material, None, 0).perturbed(0.2, random).wirings[0].edges().sources.shape == (0,)


def test_descriptions_count_what_cells_have(material: ArmInputs) -> None:
    arm = make_arm("cell-specific", material, None, 0)
    assert material.by_cell is not None
    assert material.by_cell.weights is not None
    found = describe(arm, material.ugrn)
    assert found["edges"] == pytest.approx(material.by_cell.weights.sum(1).mean())
    assert found["shared"] == 1.0
    union = make_arm("cell-type", material, None, 0)
    weights = union.wirings[0].edges(np.arange(CELLS)).weights
    assert isinstance(weights, torch.Tensor)
    own = np.isin(union.wirings[0].network.keys(), material.ugrn.keys())
    described = describe(union, material.ugrn)
    assert described["edges"] == pytest.approx(GENES * TOP)
    assert described["shared"] == pytest.approx(float(weights[:, own].sum() / weights.sum()))
    assert np.isnan(describe(make_arm("none", material, None, 0), material.ugrn)["shared"])


def test_arms_that_are_missing_are_left_out(material: ArmInputs) -> None:
    assert material.arms == ARMS
    assert replace(material, missing=(("both", "why"),)).arms == ARMS[:-1]
    for name in ("co-expression", "text", "both", "nothing"):
        with pytest.raises(ValueError, match=f"no arm '{name}'"):
            make_arm(name, ArmInputs(material.ugrn), None, 0)


def test_cosine_against_a_plain_loop(random: np.random.Generator) -> None:
    vectors = random.normal(size=(5, 4))
    vectors[2] = 0.0
    near = cosine(vectors)
    for a in range(5):
        for b in range(5):
            lengths = np.sqrt((vectors[a] ** 2).sum() * (vectors[b] ** 2).sum())
            assert near[a, b] == pytest.approx(vectors[a] @ vectors[b] / lengths if lengths else 0.0, abs=1e-6)

"""How the data sets of a catalogue make executions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.diagnostics.data_reference_syntax import FACETS
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.errors import UnknownNameError
from tests.diagnostics.cmip6_trees import DRS, add, keys


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Three models, of which one has two experiments and another two grids."""
    root = tmp_path_factory.mktemp("tree")
    for model in ("A", "B", "C"):
        add(root, DRS.replace("CanESM5", model))
    add(root, DRS.replace("CanESM5", "A").replace("historical", "ssp585"))
    add(root, DRS.replace("CanESM5", "B").replace("/gn/", "/gr/"))
    return scan(root)


def test_groups_have_selectors_and_data_sets(catalogue: Catalogue) -> None:
    groups = catalogue.groups(DataRequirement(group_by=("experiment_id", "source_id")))
    assert keys(groups) == ["historical.A", "historical.B", "historical.C", "ssp585.A"]
    assert groups[1].selectors == {"experiment_id": "historical", "source_id": "B"}
    assert [dataset.facets["grid_label"] for dataset in groups[1].datasets] == ["gn", "gr"]


def test_groups_share_the_data_sets_of_the_catalogue(catalogue: Catalogue) -> None:
    (everything,) = catalogue.groups(DataRequirement(group_by=("mip_era",)))
    by_model = catalogue.groups(DataRequirement(group_by=("source_id",)))
    own = [dataset for group in by_model for dataset in group.datasets]
    assert {id(dataset) for dataset in own} == {id(dataset) for dataset in everything.datasets}
    assert {id(dataset) for dataset in own} == {id(dataset) for dataset in catalogue.datasets}


def test_groups_pass_every_filter(catalogue: Catalogue) -> None:
    filters = {"source_id": ("A", "B", "not there"), "experiment_id": ("historical",)}
    assert keys(catalogue.groups(DataRequirement(filters=filters, group_by=("source_id",)))) == ["A", "B"]
    nothing = DataRequirement(filters={"source_id": ("not there",)}, group_by=("source_id",))
    assert catalogue.groups(nothing) == ()


def test_groups_that_are_too_small_are_left_out(catalogue: Catalogue) -> None:
    assert keys(catalogue.groups(DataRequirement(group_by=("source_id",), at_least=2))) == ["A", "B"]


def test_an_ensemble_follows_the_own_data_sets(catalogue: Catalogue) -> None:
    requirement = DataRequirement(
        group_by=("source_id", "experiment_id"), with_ensemble=True, ensemble_by=("experiment_id",), at_least=2
    )
    groups = catalogue.groups(requirement)
    assert keys(groups) == ["A.historical", "B.historical", "C.historical"]
    assert [[d.facets["source_id"] for d in group.datasets] for group in groups] == [
        ["A", "B", "B", "C"],
        ["B", "B", "A", "C"],
        ["C", "A", "B", "B"],
    ]


def test_an_ensemble_of_nothing_shared_is_everything(catalogue: Catalogue) -> None:
    groups = catalogue.groups(DataRequirement(group_by=("source_id",), with_ensemble=True))
    assert {len(group.datasets) for group in groups} == {5}


@pytest.mark.parametrize(
    "requirement",
    [
        DataRequirement(group_by=("source",)),
        DataRequirement(group_by=("source_id",), filters={"source": ("A",)}),
    ],
)
def test_an_unknown_facet_is_answered_with_the_valid_ones(catalogue: Catalogue, requirement: DataRequirement) -> None:
    with pytest.raises(UnknownNameError, match=r"no facet 'source'\. Valid: activity_id, .*source_id, .*version"):
        catalogue.groups(requirement)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(FACETS), min_size=1, max_size=4, unique=True),
    st.dictionaries(
        st.sampled_from(FACETS), st.lists(st.sampled_from(["A", "B", "gn", "Amon"]), min_size=1), max_size=1
    ),
)
def test_groups_part_what_passes_the_filters(
    catalogue: Catalogue, group_by: list[str], filters: dict[str, list[str]]
) -> None:
    requirement = DataRequirement.model_validate({"group_by": tuple(group_by), "filters": filters})
    groups = catalogue.groups(requirement)
    held = [dataset.instance_id for group in groups for dataset in group.datasets]
    passing = [dataset.instance_id for dataset in catalogue.datasets if requirement.accepts(dataset.facets)]
    assert sorted(held) == sorted(passing)
    assert len(set(keys(groups))) == len(groups)
    for group in groups:
        assert all(group.selectors.items() <= dict(dataset.facets).items() for dataset in group.datasets)

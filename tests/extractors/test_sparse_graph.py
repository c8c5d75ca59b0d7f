"""The product with a graph of few edges, against a matrix product."""

from __future__ import annotations

import pytest
import torch

from zskel.extractors.backbones.sparse_graph import SparseGraph, is_sparse


@pytest.mark.parametrize("edges", [
    [], [(0, 0)], [(9, 4)], [(2, 1), (2, 3), (2, 4), (5, 0)], [(0, 4), (1, 2), (9, 0)]])
def test_it_is_the_matrix_product(edges: list[tuple[int, int]]) -> None:
    torch.manual_seed(len(edges))
    graph, x = torch.zeros(10, 5), torch.randn(3, 5, 7)
    for row, column in edges:
        graph[row, column] = torch.randn(())
    assert is_sparse(graph)
    found = SparseGraph(graph).product(x, torch.full((3, 10, 7), torch.nan))
    torch.testing.assert_close(found, graph @ x)


def test_a_graph_with_an_edge_between_all_joints_is_a_matrix() -> None:
    assert not is_sparse(torch.ones(10, 5))

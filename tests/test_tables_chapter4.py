"""The benchmarks of chapter 4: at their tiny size all runs, and learns."""

from reports import systems_in

VARIANTS = {"vanilla", "processed", "residual"}


def means_of(rows, metric, **where):
    return {
        (row["system"], row["instrument"]): row["mean"]
        for row in rows
        if row.get("metric") == metric and "mean" in row and where.items() <= row.items()
    }


def test_table_4_1(run_table):
    _, rows, page = run_table("table_4_1")
    for test, names in (
        ("piano and guitar", ("piano", "guitar")),
        ("four instruments", ("piano", "guitar", "bass", "drums")),
    ):
        systems = systems_in(rows, test=test)
        assert systems == {"NMF", "NMF, score-informed", "MI + TR"} | VARIANTS
        mean = means_of(rows, "si_sdri", test=test)
        assert mean.keys() == {(system, name) for system in systems for name in (*names, "all")}
    assert means_of(rows, "si_sdri", test="piano and guitar")["NMF, score-informed", "all"] > 6
    assert len([row for row in rows if "verdict" in row]) == 2 * 6
    assert "| 15.1 | 16.2 | 11.8 | 15 |" in page  # the paper's row


def test_score_options(run_table):
    _, rows, _ = run_table("score_options")
    options = {"masks by leaky ReLUs", "pitches alone"}
    assert systems_in(rows) == {"vanilla"} | options
    gains = {row["claim"]: row["paper"] for row in rows if "verdict" in row}
    assert gains == {f"vanilla above {option}": None for option in options}
    assert {row.get("verdict") for row in rows} <= {None, "confirmed", "refuted", "open"}


def test_table_4_2(run_table):
    _, rows, page = run_table("table_4_2")
    assert systems_in(rows) == {"MI + TR"} | VARIANTS
    assert len([row for row in rows if "verdict" in row]) == 5
    assert "| 0.49 | 0.44 | 0.69 | 0.21 |" in page


def test_table_6_1(run_table):
    _, rows, page = run_table("table_6_1")
    assert systems_in(rows) == {"Transcription"}
    assert {row["metric"] for row in rows} == {"note_onset_offset_f1", "note_onset_f1", "frame_f1"}
    assert "| 0.3 | 0.29 | 0.49 | 0.06 |" in page


def test_figure_4_5(run_table):
    results, rows, _ = run_table("figure_4_5")
    steps = [row for row in rows if "step" in row]
    assert len(steps) == 2 * 5 * 11  # beginnings, instruments and all, steps
    for row in steps:
        if row["step"] in (0, 10) and row["beginning"] == "empty":
            assert row["distance"] == 1 - row["step"] / 10
        assert row["mean"] == 0 or row["step"] > 0
    assert len([row for row in rows if "spearman" in row]) == 2 * 5
    assert (results / "figure_4_5-tiny.png").stat().st_size > 10_000


def test_figure_4_7(run_table):
    results, rows, _ = run_table("figure_4_7")
    distances = [row["distance"] for row in rows]
    assert distances == sorted(distances, reverse=True)
    assert (distances[0], distances[-1]) == (1, 0)
    assert (results / "figure_4_7-tiny.png").stat().st_size > 10_000


def test_figure_4_9(run_table):
    results, rows, _ = run_table("figure_4_9")
    (median,) = (row for row in rows if "median" in row)
    assert median["n_edits"] == len([row for row in rows if "from" in row]) == 4
    assert len([row for row in rows if "shown" in row]) == 3
    assert (results / "figure_4_9-tiny.png").stat().st_size > 10_000


def test_a_note_has_bins_that_no_other_shares():
    from benchmarks.figure_4_9 import harmonic_bins, own_bins, rise_of
    from msa_sk import Notes, Scene

    assert [*harmonic_bins(69, 513, 15.625)[:6]] == [27, 28, 29, 55, 56, 57]  # 440 and 880 Hz
    low, octave, later = ([0.0], [1.0], [57]), ([0.5], [1.5], [69]), ([2.0], [3.0], [57])
    scene = Scene(("a", "b"), 16000, notes=(Notes(*low), Notes([0.5, 2.0], [1.5, 3.0], [69, 57])))
    alone = harmonic_bins(57, 513, 15.625)
    shared = harmonic_bins(69, 513, 15.625)
    assert {*own_bins(scene, "a", Notes(*low))} == {*alone} - {*shared}
    assert {*own_bins(scene, "b", Notes(*later))} == {*alone}
    assert not {*own_bins(scene, "b", Notes(*octave))} & {*alone}
    assert not len(own_bins(scene, "b", Notes(*low)))  # the other one's has them all
    assert rise_of(scene, scene, Notes(*low), "b", "a") is None

import tensorflow as tf

from components.report.curves import BOTTOM, HEIGHT, LEFT, MAX_POINTS, charts, read


def test_scalars_are_read_from_every_log(tmp_path):
    logs = {"logs/train": [3.0, 2.0, float("nan")], "logs/validation": [2.5, 2.25], "other/logs": [1.0]}
    for log, values in logs.items():
        with tf.summary.create_file_writer(str(tmp_path / log)).as_default():
            for step, value in enumerate(values):
                tf.summary.scalar("epoch_loss", value, step)
            tf.summary.text("words", "not a number", 0)
    assert read({"": str(tmp_path)}) == {
        "epoch_loss": {"train": [(0, 3.0), (1, 2.0)], "validation": [(0, 2.5), (1, 2.25)]}
    }


def test_no_logs_give_no_curves(tmp_path):
    assert read({"": str(tmp_path)}) == {} and charts({}) == []


def test_logs_of_several_models_are_lines_of_the_same_chart(tmp_path):
    for model in ("transformer", "gru"):
        with tf.summary.create_file_writer(str(tmp_path / model / "train")).as_default():
            for step in range(2):
                tf.summary.scalar("epoch_loss", 1.0, step)
    found = read({model: str(tmp_path / model) for model in ("transformer", "gru")})
    [chart] = charts(found)
    assert [line.name for line in chart.lines] == ["transformer train", "gru train"]


def test_a_chart_goes_from_the_first_step_to_the_last_and_from_high_to_low():
    [chart] = charts({"epoch_loss": {"train": [(0, 3.0), (4, 1.0)], "validation": [(0, 2.0), (4, 2.0)]}})
    assert (chart.title, chart.low, chart.high, chart.first, chart.final) == ("loss", 1.0, 3.0, 0, 4)
    train, validation = chart.lines
    assert train.points == f"{LEFT}.0,8.0 412.0,{HEIGHT - BOTTOM}.0" and train.last == 1.0
    middle = 8 + (HEIGHT - BOTTOM - 8) / 2
    assert validation.points == f"{LEFT}.0,{middle:.1f} 412.0,{middle:.1f}"


def test_scalars_per_step_are_left_out_where_there_are_scalars_per_epoch():
    points = {"train": [(0, 1.0), (1, 2.0)]}
    assert [chart.title for chart in charts({"batch_loss": points, "epoch_loss": points})] == ["loss"]
    assert [chart.title for chart in charts({"batch_loss": points})] == ["batch loss"]


def test_long_curves_are_thinned_to_their_ends():
    [chart] = charts({"loss": {"train": [(step, float(step)) for step in range(5000)]}})
    points = chart.lines[0].points.split()
    assert len(points) == MAX_POINTS and points[0].startswith(f"{LEFT}.0,") and points[-1] == "412.0,8.0"

import dataclasses
import json
import re

from components.report import executor
from components.report.attention import Maps
from components.report.page import MOST_STEPS, render
from tests.components.report.material import HOSTILE, figure, figures, material


def content(page: str) -> dict:
    return json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_needs_nothing_else():
    page = render(material(3))
    assert page.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=\"?(https?:)?//", page)
    assert "default-src 'none'" in page


def test_what_came_from_data_is_escaped():
    page = render(material(5))
    assert "<script>document.title" not in page and "<img src=x" not in page
    assert content(page)["pictures"][3]["models"]["candidate"]["caption"] == HOSTILE


def test_a_name_that_is_no_utf_8_is_written_all_the_same():
    made = material(2)
    reject = {**made.rejects[0], "image_id": "caf\udce9.jpg"}
    assert "caf?.jpg" in render(dataclasses.replace(made, rejects=[reject])).encode().decode()


def test_letters_of_any_script_are_themselves():
    made = material(2)
    first = {**made.pictures[0], "references": ["собака бежит по снегу"]}
    assert "собака" in render(dataclasses.replace(made, pictures=[first]))


def test_everything_is_in_it():
    page = render(material(6))
    for text in ("bleu_4 0.4000, at least 0.3 wanted", "missed", "<td>CIDEr</td>", "caption length 9", "bad_line"):
        assert text in page
    assert "commit 0123abc" in page and "captions.Features 6" in page and "&#34;d_model&#34;: 128" in page
    shown = content(page)
    assert shown["grid"] == [4, 4]
    assert [("jpeg" in picture, "weights" in picture) for picture in shown["pictures"]] == [(True, True)] * 5 + [
        (False, True)
    ]


def test_a_first_run_has_no_baseline_to_show():
    made = material(2, with_maps=False)
    models = {"candidate": made.evaluation["models"]["candidate"]}
    evaluation = {**made.evaluation, "baseline": None, "gains": {}, "models": models}
    page = render(dataclasses.replace(made, evaluation=evaluation, charts=[], rejects=[], lineage=[]))
    assert "There is no baseline yet" in page and "lost most" not in page
    assert "The training has left no logs" in page and "Nothing was rejected" in page


def test_models_trained_side_by_side_are_shown_side_by_side():
    page = render(material(3))
    for text in ("candidate (transformer)", "<th>attention</th>", "gain over attention", "gain over baseline"):
        assert text in page
    assert content(page)["pictures"][0]["models"]["attention"]["caption"] == "two dogs of attention 0"


def test_a_decision_without_rules_has_a_reason():
    made = material(2)
    unchanged = {"decision": "unchanged", "rules": [], "reasons": ["the candidate is the last blessed model"]}
    page = render(dataclasses.replace(made, evaluation={**made.evaluation, **unchanged}))
    assert "<p>the candidate is the last blessed model</p>" in page and "<th>verdict</th>" not in page


def test_p_is_told_of_what_is_the_better_the_more_it_is():
    rows = dict(re.findall(r"<tr><td>(CIDEr|words a caption)</td>(.*?)</tr>", render(material(3)), re.DOTALL))
    assert "<td>0.200</td>" in rows["CIDEr"]
    assert "+0.050" in rows["words a caption"] and "<td>0.200</td>" not in rows["words a caption"]


def test_a_metric_that_one_model_lacks_leaves_its_cell_empty():
    # METEOR's program ended in between
    made = material(3)
    models = {**made.evaluation["models"], "candidate": figures(0.4) | {"meteor": figure(0.2)}}
    page = render(dataclasses.replace(made, evaluation={**made.evaluation, "models": models}))
    [row] = re.findall(r"<tr><td>METEOR</td>(.*?)</tr>", page, re.DOTALL)
    assert row.count("<b>0.200</b>") == 1 == row.count("<b>")


def test_the_trainings_of_candidate_and_baseline_are_told_apart():
    made = material(2)
    trainer, before = (
        made.lineage[0],
        {**made.lineage[0], "outputs": {"model": [{"id": 3, "type": "Model", "uri": "/b"}]}},
    )
    evaluation = {**made.evaluation, "candidate": "/captions/model/8/Format-Serving", "baseline": "/b/Format-Serving"}
    page = render(dataclasses.replace(made, evaluation=evaluation, lineage=[before, trainer]))
    assert re.findall(r"<b>Trainer</b>([^<]*)", page) == [" of the baseline ", " of the candidate "]


def test_a_lineage_without_end_is_cut_and_that_is_said():
    made = material(2)
    assert "tells them all" not in render(made)
    page = render(dataclasses.replace(made, lineage=list(made.lineage) * MOST_STEPS))
    assert f"The nearest {MOST_STEPS} steps" in page


def test_maps_that_are_left_out_are_said():
    made = material(3)
    assert "attention maps" not in render(made)
    some = dict(list(made.maps.items())[:2])
    assert "2 of them have attention maps" in render(dataclasses.replace(made, maps=some))


def test_a_thousand_pictures_are_at_most_15_megabytes():
    # as large as the executor lets all parts get
    made = material(executor.MOST_PICTURES)
    largest = {picture["image_id"]: b"x" * (executor.PICTURE_BYTES // len(made.pictures)) for picture in made.pictures}
    maps = {picture["image_id"]: Maps(["a"], "x" * (executor.MAP_BYTES // 1000)) for picture in made.pictures}
    long = [{**one, "references": ["x" * (executor.TEXT_BYTES // 1000 - 400)]} for one in made.pictures]
    assert executor.chosen(long) == long
    page = render(dataclasses.replace(made, pictures=long, thumbnails=largest, maps=maps))
    assert 14e6 < len(page.encode()) < 15e6

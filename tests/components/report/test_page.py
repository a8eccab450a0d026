import dataclasses
import json
import re

from components.report import executor
from components.report.attention import AttentionMaps
from components.report.page import MAX_STEPS, render
from tests.components.report.factories import HOSTILE, evaluation, metric, metrics, report_data, step


def content(page: str) -> dict:
    return json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_needs_nothing_else():
    page = render(report_data(3))
    assert page.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=\"?(https?:)?//", page)
    assert "default-src 'none'" in page


def test_text_from_data_is_escaped():
    page = render(report_data(5))
    assert "<script>document.title" not in page and "<img src=x" not in page
    assert content(page)["images"][3]["models"]["candidate"]["caption"] == HOSTILE


def test_a_file_name_need_not_be_utf_8():
    data = report_data(2)
    reject = {**data.rejects[0], "image_id": "caf\udce9.jpg"}
    assert "caf?.jpg" in render(dataclasses.replace(data, rejects=[reject])).encode().decode()


def test_letters_of_any_script_are_kept():
    data = report_data(2)
    first = {**data.images[0], "references": ["собака бежит по снегу"]}
    assert "собака" in render(dataclasses.replace(data, images=[first]))


def test_the_page_shows_everything():
    page = render(report_data(6))
    for text in ("BLEU-4 0.400 (minimum 0.300)", "failed", "<td>CIDEr</td>", "caption length 9", "bad_line"):
        assert text in page
    assert "commit 0123abc" in page and "captions.Features 6" in page and "&#34;d_model&#34;: 128" in page
    shown = content(page)
    assert shown["grid"] == [4, 4]
    assert [("jpeg" in image, "weights" in image) for image in shown["images"]] == [(True, True)] * 5 + [(False, True)]
    assert shown["scores"] == {"bleu_4": "BLEU-4", "cider": "CIDEr", "rouge_l": "ROUGE-L"}


def test_a_first_run_has_no_baseline_to_show():
    data = report_data(2, with_maps=False)
    models = {"candidate": data.evaluation["models"]["candidate"]}
    first = {**data.evaluation, "baseline": None, "improvements": {}, "models": models}
    page = render(dataclasses.replace(data, evaluation=first, charts=[], rejects=[], lineage=[]))
    assert "There is no baseline yet" in page and "largest regression" not in page
    assert "There are no training logs" in page and "No rejects" in page


def test_comparison_models_are_shown_beside_the_candidate():
    page = render(report_data(3))
    for text in ("candidate (transformer)", "<th>gru</th>", "improvement over gru", "improvement over baseline"):
        assert text in page
    assert content(page)["images"][0]["models"]["gru"]["caption"] == "two dogs of gru 0"


def test_a_decision_without_rules_has_a_reason():
    data = report_data(2)
    unchanged = {"decision": "unchanged", "rules": [], "reasons": ["the candidate is the last blessed model"]}
    page = render(dataclasses.replace(data, evaluation={**data.evaluation, **unchanged}))
    assert "<p>the candidate is the last blessed model</p>" in page and "<th>verdict</th>" not in page


def test_only_metrics_with_a_direction_have_a_p_value():
    page = render(report_data(3))
    rows = dict(re.findall(r"<tr><td>(CIDEr|mean caption length)</td>(.*?)</tr>", page, re.DOTALL))
    assert "<td>0.200</td>" in rows["CIDEr"]
    assert "+0.050" in rows["mean caption length"] and "<td>0.200</td>" not in rows["mean caption length"]


def test_a_metric_has_as_many_decimals_as_it_says():
    data = report_data(3)
    info = {name: about | {"decimals": 1} for name, about in data.evaluation["metrics_info"].items()}
    page = render(dataclasses.replace(data, evaluation={**data.evaluation, "metrics_info": info}))
    assert "<title>rejected: BLEU-4 0.4, run" in page
    [row] = re.findall(r"<tr><td>CIDEr</td>(.*?)</tr>", page, re.DOTALL)
    assert "<b>0.4</b> <small>0.3 to 0.5</small>" in row and "<td>+0.1 <small>0.0 to 0.2</small></td>" in row
    assert content(page)["decimals"] == {"bleu_4": 1, "cider": 1, "rouge_l": 1}


def test_a_difference_has_the_sign_and_the_decimals_that_it_needs():
    data = report_data()
    data.evaluation["improvements"]["baseline"]["bleu_4"] |= {"value": -0.00012, "low": -4.6e-10, "high": 0.01}
    assert "-0.0001 <small>0.000 to 0.010</small>" in render(data)
    data.evaluation["improvements"]["baseline"]["bleu_4"]["value"] = -4.6e-10
    page = render(data)
    assert "+0.000 <small>" in page and "-0.000" not in page


def test_the_labels_of_a_chart_are_at_the_ends_of_its_axes(monkeypatch):
    for name, value in (("WIDTH", 500), ("HEIGHT", 300), ("LEFT", 60), ("BOTTOM", 30), ("MARGIN", 10)):
        monkeypatch.setattr(f"components.report.page.{name}", value)
    page = render(report_data(2))
    assert 'viewBox="0 0 500 300"' in page
    assert re.findall(r'<text x="(\d+)" y="(\d+)"', page) == [("4", "20"), ("4", "270"), ("60", "290"), ("490", "290")]


def test_a_metric_that_one_model_lacks_leaves_its_cell_empty():
    # METEOR's program has exited in between
    data = report_data(3)
    models = {**data.evaluation["models"], "candidate": metrics(0.4) | {"meteor": metric(0.2)}}
    info = {**data.evaluation["metrics_info"], "meteor": {"label": "METEOR", "higher_is_better": True, "decimals": 3}}
    page = render(dataclasses.replace(data, evaluation={**data.evaluation, "models": models, "metrics_info": info}))
    [row] = re.findall(r"<tr><td>METEOR</td>(.*?)</tr>", page, re.DOTALL)
    assert row.count("<b>0.200</b>") == 1 == row.count("<b>")


def test_metrics_by_both_tokenizers_stand_together_and_slices_have_the_one_that_decides():
    data = report_data(3)
    names = {"bleu_4_ptb": "bleu_4", "cider_ptb": "cider"}
    variants = {
        name: {"label": f"{name} (PTB)", "higher_is_better": True, "decimals": 3, "variant_of": base}
        for name, base in names.items()
    }
    values = metrics(0.4) | {name: metric(0.2) for name in names}
    evaluation = data.evaluation | {
        "metrics": {"bleu_4": 0.4, "bleu_4_ptb": 0.2},
        "metrics_info": data.evaluation["metrics_info"] | variants,
        "models": {"candidate": values},
        "improvements": {"gru": {"bleu_4_ptb": metric(0.1) | {"p": 0.03125}}},
        "slices": [{"field": "objects", "value": "1", "num_images": 4, "models": {"candidate": values}}],
    }
    for image in data.images:
        image["models"] = {"candidate": image["models"]["candidate"] | {"bleu_4_ptb": 0.25}}
    slices = {}
    for primary in ("bleu_4", "bleu_4_ptb"):
        page = render(dataclasses.replace(data, evaluation=evaluation | {"primary_metric": primary}))
        [row] = re.findall(r"<tr><td>bleu_4_ptb \(PTB\)</td>(.*?)</tr>", page, re.DOTALL)
        assert "<b>0.200</b>" in row and "<td>0.031</td>" in row
        assert "PTB tokenizer of COCO's server" in page.replace("\n  ", " ")
        assert f'"primary": "{primary}"' in page
        slices[primary] = page.split('id="slices"')[1].split("</thead>")[0]
    assert "<th>BLEU-4</th>" in slices["bleu_4"] and "(PTB)" not in slices["bleu_4"]
    assert "<th>bleu_4_ptb (PTB)</th>" in slices["bleu_4_ptb"] and "<th>BLEU-4</th>" not in slices["bleu_4_ptb"]
    assert "<th>ROUGE-L</th>" in slices["bleu_4_ptb"]  # which has no variant here
    assert "PTB tokenizer" not in render(report_data(3))


def test_steps_of_candidate_and_baseline_are_labeled():
    lineage = []
    for number, directory in ((1, "/b"), (2, "/c")):
        weights = {"id": number, "type": "captions.Weights", "uri": f"/weights/{number}"}
        model = {"id": 10 + number, "type": "Model", "uri": directory}
        lineage += [step(number, "Trainer", {}, {"weights": weights})]
        lineage += [step(20 + number, "Exporter", {"weights": weights}, {"model": model})]
    models = {"candidate": "/c/Format-Serving", "baseline": "/b/Format-Serving"}
    page = render(dataclasses.replace(report_data(2), evaluation=evaluation(2) | models, lineage=lineage))
    for node in ("Trainer", "Exporter"):
        assert re.findall(rf"<b>{node}</b>([^<]*)", page) == [" of the baseline ", " of the candidate "]


def test_a_long_lineage_is_truncated_with_a_note():
    data = report_data(2)
    assert "lists all of them" not in render(data)
    page = render(dataclasses.replace(data, lineage=list(data.lineage) * MAX_STEPS))
    assert f"The nearest {MAX_STEPS} steps" in page


def test_missing_attention_maps_are_noted():
    data = report_data(3)
    assert "attention maps" not in render(data)
    some = dict(list(data.maps.items())[:2])
    assert "2 of them have attention maps" in render(dataclasses.replace(data, maps=some))


def test_a_thousand_images_take_at_most_15_megabytes():
    # as large as the executor lets all parts get
    data = report_data(executor.MAX_IMAGES)
    names = [image["image_id"] for image in data.images]
    largest = dict.fromkeys(names, b"x" * (executor.THUMBNAIL_BYTES // len(names)))
    maps = dict.fromkeys(names, AttentionMaps(["a"], "x" * (executor.MAP_BYTES // 1000)))
    long = [{**image, "references": ["x" * (executor.TEXT_BYTES // 1000 - 400)]} for image in data.images]
    assert executor.sample_images(long) == long
    page = render(dataclasses.replace(data, images=long, thumbnails=largest, maps=maps))
    assert 14e6 < len(page.encode()) < 15e6

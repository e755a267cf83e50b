"""The file of all figures: each is in it as soon as it is measured, so that a run that is interrupted goes on where it was."""

import json
import os
import re

from figures import model_of


class Ledger:
    """results are dictionaries that a key tells apart: stage, peer, workload and round."""

    def __init__(self, path, places=None):
        """places are the machine's own folders and what the published figures call them."""
        self.path = path
        self.places = {os.path.expanduser("~"): "~", **(places or {})}
        self.report: dict = {"results": [], "failures": [], "quality": []}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.report |= json.load(f)

    @property
    def results(self):
        return self.report["results"]

    def head(self, **facts):
        """Notes what all figures have in common. Versions add up: figures of several builds may stand side by side."""
        versions = self.report.get("versions", {})
        for name, version in facts.pop("versions").items():
            known = versions.get(name, "").split(" + ")
            versions[name] = " + ".join(dict.fromkeys([*filter(None, known), version]))
        self.report |= {"versions": versions, **facts}
        self.write()

    def has(self, stage, peer, workload, number=1):
        return any(key(r) == (stage, peer, workload, number) for r in self.results)

    def add(self, stage, peer, workload, figures, number=1):
        self.results.append({"stage": stage, "peer": peer, "workload": workload, "round": number, **figures})
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


def key(result):
    return result["stage"], result["peer"], result["workload"], result["round"]

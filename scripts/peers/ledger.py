"""The file of all figures: each is in it as soon as it is measured, so that a run that is interrupted goes on where it was."""

import json
import os


class Ledger:
    """results are dictionaries that a key tells apart: stage, peer, workload and round."""

    def __init__(self, path):
        self.path = path
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
        self.report["failures"] = [f for f in self.report["failures"] if (f["peer"], f["workload"]) != (peer, workload)]
        self.write()

    def fail(self, peer, workload, reason):
        """workload None: the peer as a whole."""
        self.report["failures"] = [f for f in self.report["failures"] if (f["peer"], f["workload"]) != (peer, workload)]
        reason = reason.replace(os.path.expanduser("~"), "~")  # the figures are published
        self.report["failures"].append({"peer": peer, "workload": workload, "reason": reason})
        self.write()

    def write(self):
        """Replaces the file in one go: whoever reads it sees a whole one."""
        if not self.path:
            return
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.report, f, indent=1)
        os.replace(self.path + ".new", self.path)


def key(result):
    return result["stage"], result["peer"], result["workload"], result["round"]

"""What a registered model rests on: tags for programs, a sentence with links for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hourglass import provenance
from hourglass.mlflow_runs import MlflowTracker, place
from hourglass.paths import Paths, read_json
from hourglass.schema import Schema
from hourglass.tracking import child_key


@dataclass(frozen=True)
class Origin:
    """What a registered model rests on: its evaluation, its fit, its data, its code.

    Attributes:
        tags: For the version and for the run that registers it.
        evaluated: The run as MLflow has it; None: it has none, its store is another.
        fitted: Likewise.
    """

    tags: Mapping[str, str]
    evaluated: Any
    fitted: Any

    @classmethod
    def of(
        cls, tracker: MlflowTracker, paths: Paths, report: Mapping[str, Any], schema: Schema
    ) -> Self:
        """Looks them up.

        Args:
            tracker: Where the runs may be.
            paths: The project's files.
            report: delivered.json, which names the model.
            schema: That of the model.
        """
        loss, seed = report["selected_loss"], report["selected_seed"]
        evaluated = read_json(paths.evaluate("run.json"), "evaluate")["key"]
        fitted = child_key(read_json(paths.train("run.json"), "train")["key"], loss, seed)
        run = tracker.recorded(evaluated)
        # DVC may have kept the evaluation since an earlier commit: its run knows which.
        revision = provenance.revision_tags(paths.root) if run is None else run.data.tags
        tags = {
            "hourglass.loss": loss,
            "hourglass.data": schema.digest,
            "hourglass.evaluated": evaluated,
            "hourglass.fitted": fitted,
            **{name: revision[name] for name in provenance.REVISION if name in revision},
        }
        return cls(tags, run, tracker.recorded(fitted))

    def mark_version(self, tracker: MlflowTracker, version: Any) -> None:
        """Brings the version's tags up to date: an earlier evaluation may have registered it."""
        for name, value in self.tags.items():
            if version.tags.get(name) != value:
                tracker.client.set_model_version_tag(version.name, version.version, name, value)

    def mark_evaluation(self, tracker: MlflowTracker, version: Any) -> None:
        """Notes on the run of the evaluation which version came of it."""
        if self.evaluated is not None:
            told = f"{version.name} {version.version}"
            tracker.client.set_tag(self.evaluated.info.run_id, "hourglass.registered", told)

    def __str__(self) -> str:
        """In Markdown, with links where MLflow's UI shows it."""
        of = {"evaluated": ("evaluation", self.evaluated), "fitted": ("fit", self.fitted)}
        evaluated, fitted = (
            f"[{name}]({place(run)})" if run else f"{name} (key `{self.tags[f'hourglass.{key}']}`)"
            for key, (name, run) in of.items()
        )
        if self.evaluated:
            evaluated += f", [report]({place(self.evaluated)}/artifacts/report.html)"
        code = ""
        if commit := self.tags.get("mlflow.source.git.commit"):
            changed = " with changes" * (self.tags.get("git.dirty") == "true")
            code = f", commit `{commit[:12]}`{changed}"
        data = self.tags["hourglass.data"]
        return f"It rests on its {evaluated}, its {fitted}, data `{data}`{code}."

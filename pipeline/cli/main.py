"""All commands, in the order in which the help shows them."""

# ruff: noqa: F401, I001
import zskel.pipeline.extract.command
import zskel.pipeline.queue.command
import zskel.pipeline.fit.command
import zskel.pipeline.report.command
import zskel.pipeline.search.command
import zskel.pipeline.plan.command
import zskel.pipeline.run.command
import zskel.pipeline.predict.command
import zskel.pipeline.show.command
import zskel.pipeline.try_.command
import zskel.pipeline.inspect.command
import zskel.pipeline.verify.command
import zskel.pipeline.evaluate_backbone.command
import zskel.pipeline.doctor.command
import zskel.pipeline.export.command
import zskel.pipeline.import_.command
import zskel.pipeline.demo_data.command
from zskel.pipeline.cli.app import app, main

__all__ = ["app", "main"]

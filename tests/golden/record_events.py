"""Records what TensorBoard's own writer makes of the events of tests/tests/training/metrics.rs: events/events.bin."""

from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

figures = Summary(value=[Summary.Value(tag="loss", simple_value=0.5), Summary.Value(tag="gradient_norm", simple_value=2)])
image = Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=b"not looked at")
events = [
    Event(wall_time=1000.5, file_version="brain.Event:2"),
    Event(wall_time=1000.5, step=7, session_log=SessionLog(status=SessionLog.START)),
    Event(wall_time=1001.25, step=10, summary=figures),
    Event(wall_time=1002.0, step=20, summary=Summary(value=[Summary.Value(tag="samples", image=image)])),
]
path = Path(__file__).parent / "events" / "events.bin"
path.parent.mkdir(exist_ok=True)
with path.open("wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    writer.flush()

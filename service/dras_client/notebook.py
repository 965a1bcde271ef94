"""How a job shows itself in a notebook; results do so themselves (`dras_model.results.notebook`)."""

from html import escape

from dras_service.api.jobs import JobView


def job_html(view: JobView) -> str:
    """Return where a job is, with a bar while it runs."""
    state = escape(view.state.value.replace("_", " "))
    if view.cancel_requested and not view.state.is_terminal:
        state += " (stopping)"
    lines = [f"<b>Job</b> <code>{escape(view.id)}</code>: {state}"]
    if not view.state.is_terminal:
        stage = "" if view.stage is None else f" {escape(view.stage.value)}"
        lines.append(f'<progress value="{view.progress:.3f}" max="1"></progress> {view.progress:.0%}{stage}')
    if view.code is not None:
        lines.append(f"<code>{escape(view.code)}</code> {escape(view.message or '')}")
    return f"<div>{'<br>'.join(lines)}</div>"

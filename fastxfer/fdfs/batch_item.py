"""One item of a batch from its beginning to its result, whichever way its plan is carried out."""

from __future__ import annotations

from typing import Any, TypeVar

from fastxfer.fdfs.batch import BatchResult, Job, Task
from fastxfer.fdfs.journal import Journal

__all__ = ["finished", "prepared"]

T = TypeVar("T")


def prepared(job: Job[T], journal: Journal | None, index: int, item: Any) -> Task[T] | BatchResult[T]:
    """*item* ready to be done, or its result where there is nothing to do: it is wrong, or was done before."""
    try:
        task = job.task(item)
        if journal is not None and task.key is not None:
            text = journal.find(task.key, task.stamp)
            if text is not None:
                try:
                    return BatchResult(index, item, job.from_text(item, text), skipped=True)
                except ValueError:
                    return task
        return task
    except Exception as error:
        return BatchResult(index, item, error=error)


def finished(
    job: Job[T], journal: Journal | None, index: int, item: Any, task: Task[T], value: T | None, error: Exception | None
) -> BatchResult[T]:
    """The result of an item that was done or failed; the journal is told first."""
    if error is None and journal is not None and task.key is not None:
        try:
            journal.add(task.key, task.stamp, job.to_text(value))  # type: ignore[arg-type]  # no error: there is one
        except Exception as trouble:
            # What the journal does not know might be done again: the caller must learn of it.
            return BatchResult(index, item, value, trouble)
    return BatchResult(index, item, value, error)

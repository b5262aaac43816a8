"""The refund agent. Any of its workers may be killed at any moment: another one goes on at the node that died.

``start("refund", {"order": "LS-20117", "reason": "It came broken."}, user=…)``; see ``views.py``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, TypedDict

from django.template.loader import render_to_string
from langgraph.graph import END, START, StateGraph

from demo.orders.features import letters
from demo.orders.models import Order, Outcome, Refund
from demo.orders.tools import mail, pay_back
from lockstep.core import context
from lockstep.llm.exceptions import LlmError
from lockstep.workflows import request_review, wait_for_event, workflow

LIMIT_PENCE = 50_00
"""More than this is paid back only after a person has seen it."""
SENTENCES = (
    "We are sorry that it came broken, damaged or not in working order.",
    "We are sorry that it came late, or has not arrived at all.",
    "We are sorry that it is the wrong one, the wrong colour, or does not fit.",
    "It is no trouble at all that you changed your mind or do not need it any more.",
)
PLAIN_WORDS = "We are sorry for the trouble."


class State(TypedDict, total=False):
    order: str
    reason: str
    slowly: bool
    """The bank shall take its time: somebody wants to kill a worker meanwhile."""
    pence: int
    words: str
    payment: str
    outcome: str
    letter: str


def look_up(state: State) -> State:
    return {"pence": Order.objects.get(number=state["order"]).total_pence}


def draft(state: State) -> State:
    """A model chooses which sentence of ours fits. It writes none: whatever a customer says, the letter stays ours."""
    customer = Order.objects.get(number=state["order"]).customer
    asked = {"sentences": "\n".join(SENTENCES), "reason": state["reason"]}
    try:
        text = letters.invoke(asked, known={"customer": customer}).text
    except LlmError:
        text = ""  # no refund fails for want of a kind word
    chosen = [sentence for sentence in SENTENCES if sentence in text]
    return {"words": min(chosen, key=text.index, default=PLAIN_WORDS)}


def decide(state: State) -> State:
    """A person approves, changes or rejects. What they approved is what is done, not what was proposed."""
    review = request_review(
        "refund.pay",
        {"order": state["order"], "pence": state["pence"], "words": state["words"]},
        schema=what_may_change(state),
        assignee="refunds",
        expires=timedelta(days=2),
        note=f"The customer says: {state['reason']}",
    )
    if review.approved:
        return {"pence": review.args["pence"], "words": review.args["words"]}
    return {"outcome": Outcome.UNANSWERED.value if review.decision == "expired" else Outcome.DECLINED.value}


def pay(state: State) -> State:
    booked = pay_back(state["order"], state["pence"], slowly=state.get("slowly", False))
    return {"payment": booked["payment"]}


def settle(state: State) -> State:
    """The bank's webhook says when the money has gone; nobody waits at a socket for it."""
    event = wait_for_event("payment.settled", key=state["payment"], expires=timedelta(days=3))
    return {"outcome": (Outcome.PAID if event else Outcome.UNSETTLED).value}


def tell(state: State) -> State:
    refund = Refund.objects.select_related("order__customer").get(run_id=context.current().run)
    refund.outcome = state["outcome"]
    refund.save(update_fields=["outcome"])
    letter = render_to_string("orders/letter.txt", {"refund": refund, **state}).strip()
    mail(refund.order.customer.email, f"Your order {refund.order}", letter)
    return {"letter": letter}


def needs_a_person(state: State) -> Literal["decide", "pay"]:
    return "decide" if state["pence"] > LIMIT_PENCE else "pay"


def was_decided(state: State) -> Literal["pay", "tell"]:
    return "tell" if state.get("outcome") else "pay"


@workflow("refund", version="1")
def refund() -> StateGraph[State]:
    graph = StateGraph(State)
    for node in (look_up, draft, decide, pay, settle, tell):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "look_up")
    graph.add_edge("look_up", "draft")
    graph.add_conditional_edges("draft", needs_a_person)
    graph.add_conditional_edges("decide", was_decided)
    graph.add_edge("pay", "settle")
    graph.add_edge("settle", "tell")
    graph.add_edge("tell", END)
    return graph


def what_may_change(state: State) -> dict[str, Any]:
    """A reviewer may pay less, and find other words."""
    return {
        "type": "object",
        "properties": {
            "pence": {
                "type": "integer",
                "title": "Pence",
                "minimum": 1,
                "maximum": state["pence"],
                "description": f"The whole order is {state['pence']}.",
            },
            "words": {"type": "string", "title": "Words to the customer", "maxLength": 1000},
        },
        "required": ["pence", "words"],
    }

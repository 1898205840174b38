"""The page of a comparison: tables of times and ratios, and the bounds of the machine."""

from compare import BATCHES, CONNECTIONS, ENGINES, SERVICES, Results, median
from networks import Sizes

# Bytes of a weight, and what the rows of a large batch are bound by.
OURS = {"f32": (4, "fma_flops"), "bf16": (2, "fma_flops"), "int8": (1, "int8_ops")}
# The engine of ours that each other one is compared with.
PEERS = {
    "ONNX Runtime f32": "rnnlm-server f32",
    "ONNX Runtime int8": "rnnlm-server int8",
    "PyTorch f32": "rnnlm-server f32",
    "PyTorch int8": "rnnlm-server int8",
    "tract f32": "rnnlm-server f32",
}


def page(results: Results) -> str:
    machine, plan = results.machine, results.plan
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    parts = [
        "# Performance",
        "This page is written by `python3 benches/peers/run.py`, which measures everything below in one run: "
        f"{plan.rounds} rounds of {plan.seconds:g} s a figure, the engines in turns, each pinned to the same core with one thread. "
        "A figure is the median over the rounds of each round's median.",
        f"Machine: {machine['cpu']}, {machine['cores']} virtual CPUs. Compared with {versions}.",
        bounds(machine),
    ]
    for sizes, times in results.times.items():
        parts += [f"## {title(sizes)}", times_table(times), "How many times as long the others take:", ratios_table(times)]
        parts += [shares(sizes, times, machine)]
    parts += ["## Over HTTP", services(results)]
    return "\n\n".join(parts) + "\n"


def bounds(machine: dict) -> str:
    rows = [
        ("Memory read", machine["read_bytes_per_second"], "GB/s"),
        ("Multiply-adds of `f32`, each two operations", machine["fma_flops"], "GFLOP/s"),
        ("The same, with weights and activations loaded from the first-level cache", machine["tile_flops"], "GFLOP/s"),
        ("Multiply-adds of bytes, each two operations", machine["int8_ops"], "GOP/s"),
    ]
    known = [(name, f"{rate / 1e9:.1f} {unit}") for name, rate, unit in rows if rate is not None]
    return "What one core of it does at most, measured in the same run:\n\n" + table(["Bound", "Rate"], known)


def title(sizes: Sizes) -> str:
    return f"{sizes.name}: LSTM, {sizes.layers} x {sizes.hidden_size} units, {sizes.vocab_size} tokens"


def times_table(times: dict[str, dict[str, list[float]]]) -> str:
    cases = list(times[ENGINES[0]])
    rows = [(engine, *(duration(median(times[engine][case])) for case in cases)) for engine in ENGINES]
    return table(["Microseconds", *cases], rows)


def ratios_table(times: dict[str, dict[str, list[float]]]) -> str:
    cases = list(times[ENGINES[0]])
    rows = []
    for peer, ours in PEERS.items():
        ratios = [median(times[peer][case]) / median(times[ours][case]) for case in cases]
        rows.append((f"{peer} / {ours}", *(f"{ratio:.2f}" for ratio in ratios)))
    return table(["Ratio", *cases], rows)


def shares(sizes: Sizes, times: dict[str, dict[str, list[float]]], machine: dict) -> str:
    """How near a step comes to the machine's bounds: of memory for one row, of arithmetic for many."""
    rows = []
    for dtype, (bytes_each, peak) in OURS.items():
        ours = times[f"rnnlm-server {dtype}"]
        cases = list(ours)
        read = sizes.multiplied * bytes_each / (median(ours[cases[0]]) / 1e6)
        done = 2 * sizes.multiplied * BATCHES[-1] / (median(ours[cases[len(BATCHES) - 1]]) / 1e6)
        known = machine[peak]
        share = f"{done / known:.0%}" if known else "-"
        rows.append((dtype, f"{read / 1e9:.1f} GB/s", f"{read / machine['read_bytes_per_second']:.0%}", f"{done / 1e9:.0f} G/s", share))
    return (
        f"Of the machine's bounds, counting the {sizes.multiplied} weights that a step multiplies when the first layer's input product is kept "
        "(weights that fit into a cache are read faster than memory):\n\n"
        + table(["Weights", "Read, 1 row", "Of memory", f"Operations, {BATCHES[-1]} rows", "Of the peak"], rows)
    )


def services(results: Results) -> str:
    rates = {service: {count: median(found) for count, found in by.items()} for service, by in results.rates.items()}
    headings = ["Answers a second", *(f"{count} connections" if count > 1 else "1 connection" for count in CONNECTIONS)]
    rows = [(service, *(f"{rates[service][count]:.0f}" for count in CONNECTIONS)) for service in SERVICES]
    ours = rates[SERVICES[0]]
    for service in SERVICES[1:]:
        rows.append((f"{SERVICES[0]} / {service}", *(f"{ours[count] / rates[service][count]:.2f}" for count in CONNECTIONS)))
    first = next(iter(results.times.values()))["rnnlm-server f32"]
    step = median(first[next(iter(first))])
    gap = results.stream["gap"]
    return (
        "A next-token request of one token to the first network, the ten most likely tokens in the answer; logs on, the client on the same machine.\n\n"
        + table(headings, rows)
        + f"\n\nOne greedy stream: {duration(gap)} us from token to token, {gap / step:.2f} times the step of one row."
    )


def table(headings: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(micros: float) -> str:
    return f"{micros:.1f}" if micros < 100 else f"{micros:.0f}"

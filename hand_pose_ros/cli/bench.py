"""``hand-pose bench``: what each stage of the pipeline costs on this machine, and the whole way through ROS topics."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hand_pose_ros.cli import measure, peers
from hand_pose_ros.cli.arguments import NODE_SETTINGS, add_modality_argument, add_tracker_arguments, tracker_settings
from hand_pose_ros.cli.clip import HEIGHT, WIDTH, load_clip
from hand_pose_ros.cli.processes import NodeError, changed_tracker_parameters
from hand_pose_ros.cli.streams import say
from hand_pose_ros.machine import IMITATED, ISA_VARIABLE, describe_machine
from hand_pose_ros.settings import changed


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        'bench',
        help='measure latency, rate and memory on this machine',
        description=f'Run the pipeline over the bundled clips at {WIDTH}x{HEIGHT}, in this process and then as a node '
        'of its own through ROS topics; times are medians and 95th percentiles in milliseconds.',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object instead of a table')
    parser.add_argument('--frames', type=int, default=200, metavar='N', help='frames to measure. Default: 200')
    parser.add_argument('--clip', metavar='BAG', help='recording to take the frames from; default: the bundled ones')
    add_modality_argument(parser, 'depth, and for --clip what the recording holds')
    parser.add_argument(
        '--compare',
        nargs='*',
        metavar='NAME',
        help='also time the pipeline with every engine, precision and model that there is here; names of '
        'some of them leave the others out',
    )
    parser.add_argument(
        '--peer',
        choices=peers.PEERS,
        help='also time another hand tracker on the same machine, in turns with this one; installed for that into an '
        'environment of its own',
    )
    parser.add_argument('--peer-python', metavar='PATH', help='Python that has the peer installed already')
    parser.add_argument(
        '--isa', choices=tuple(IMITATED), help='imitate an older processor, which has these instruction sets at most'
    )
    add_tracker_arguments(parser, skip=NODE_SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ValueError: the clip or a setting cannot be used.
        OSError: the clip or the model is missing.

    """
    if args.frames < 1:
        raise ValueError(f'--frames {args.frames}: at least one frame is needed')
    # First of all: ROS from pip starts Python anew when it is imported.
    make_messages, no_ros = measure.message_maker()

    if args.isa:  # before any engine is loaded; the node's process inherits it
        os.environ[ISA_VARIABLE] = args.isa.upper()
    from hand_pose_ros.tracking.model_choice import choose_models

    settings = tracker_settings(args)
    clip = load_clip(Path(args.clip) if args.clip else None, getattr(args, 'modality', None), args.frames)
    settings = changed(settings, modality=clip.modality)
    choice = choose_models(settings)
    settings = replace(settings, models=choice.levels[0].models)  # what a node takes
    result: dict[str, Any] = {'machine': describe_machine(), 'model_choice': choice.reason or 'as named'}
    result.update(measure.measure_pipeline(settings, clip, args.frames, make_messages))
    result['image_to_joints_ms'] = None
    if no_ros:
        result['image_to_joints_reason'] = no_ros
    else:
        try:
            parameters = {**changed_tracker_parameters(args), 'modality': clip.modality}
            result.update(measure.measure_topics(parameters, clip, min(args.frames, measure.CONFIG.topic_frames)))
        except NodeError as error:
            result['image_to_joints_reason'] = str(error)
    # The node's own memory; where there is no node, that of this process, which holds the clip too.
    if result.get('peak_rss_mb') is None:
        result['peak_rss_mb'] = measure.memory_mb(os.getpid())
    if args.compare is not None:
        result['comparison'] = measure.compare(settings, clip, args.frames, args.compare)
    if args.peer:
        own = bool(args.clip) or clip.modality != 'depth'
        images = clip if own else load_clip(None, 'color', args.frames)
        result['peers'] = [peers.measure_peer(args.peer, args.peer_python, images, settings, clip, args.frames)]
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        say('\n'.join(_table(result)))
    return 0


def _table(result: Mapping[str, Any]) -> Iterator[str]:
    for name in ('machine', 'engine', 'model', 'model_choice', 'threads', 'image', 'frames', 'hands_per_frame'):
        yield f'{name:<18} {result[name]}'
    yield f'{"milliseconds":<18} {"median":>8} {"95 %":>8} {"without":>8}'
    for name, value in result['stages_ms'].items():
        without = result['pipeline_without_ms'].get(name)
        yield (
            f'  {name:<16} '
            + ('       -' if value is None else f'{value:8.2f}')
            + ('' if without is None else f'{without:18.2f}')
        )
    yield f'{"pipeline":<18} {_times(result["pipeline_ms"])}'
    yield from _topic_rows(result)
    yield f'{"peak memory":<18} {result["peak_rss_mb"] or float("nan"):8.1f} MB'
    if costs := [f'{name} {value:.2f}' for name, value in result['messages_ms'].items() if value is not None]:
        yield f'messages: {", ".join(costs)} ms'
    if 'comparison' in result:
        yield f'\n{"engine":<18} {"precision":<10} {"model":<20} {"network":>8} {"pipeline":>8} {"95 %":>8}'
    for row in result.get('comparison', ()):
        found = row.get('reason') or f'{row["network_ms"] or float("nan"):8.2f} {_times(row["pipeline_ms"])}'
        yield f'{row["engine"]:<18} {row["precision"]:<10} {row["model"]:<20} {found}'
    for peer in result.get('peers', ()):
        found = peer.get('reason') or (
            f'{_times(peer["frame_ms"])} ms a frame, hands in {peer["frames_with_hands"]} of '
            f'{peer["frames"]} {peer["images"]} images; ours takes {peer["ratio"]:.2f} of its time '
            f'(median of {len(peer["ratios"])} turns, {min(peer["ratios"]):.2f} to {max(peer["ratios"]):.2f})'
        )
        yield f'\n{peer["name"]} {peer.get("version", "")}: {found}'


def _topic_rows(result: Mapping[str, Any]) -> Iterator[str]:
    reason = result.get('image_to_joints_reason')
    answered = '' if reason else f'   {result["image_to_joints_answered"]} answered at {measure.CONFIG.rate_hz:.0f} Hz'
    yield f'{"image to joints":<18} {reason or _times(result["image_to_joints_ms"]) + answered}'
    if 'start_to_first_hand_s' in result:
        yield f"{'start to hand':<18} {result['start_to_first_hand_s']:8.2f} s for the node's first one"
    if result.get('node_cores') is not None:
        yield f'{"cores kept busy":<18} {result["node_cores"]:8.2f} by the node at {measure.CONFIG.rate_hz:.0f} Hz'


def _times(value: Mapping[str, float] | None) -> str:
    return '-' if value is None else f'{value["median"]:8.2f} {value["p95"]:8.2f}'

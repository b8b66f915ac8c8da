"""``hand-pose score``: published figures where the files are at hand, and files of every form it takes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from checkout import SHARED

from hand_pose_ros.cli import score as command
from hand_pose_ros.cli.main import main
from hand_pose_ros.evaluation.scoring import ALIGNMENTS
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.io.benchmarks import BENCHMARKS, find_benchmark
from hand_pose_ros.io.labels import LabelError, read_labels, read_vertices

PUBLISHED = SHARED / 'data' / 'benchmarks'


def hands(frames=6, joints=21, seed=0):
    """Points (frames, joints, 3) in mm, about 0.6 m before a camera."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 35, (frames, joints, 3)) + rng.normal(0, 60, (frames, 1, 3)) + (30, -20, 600)


def write(path, values, names=None, separator=' '):
    rows = [separator.join(f'{v:.4f}' for v in row.ravel()) for row in values]
    path.write_text('\n'.join((f'{names[i]}{separator}' if names else '') + row for i, row in enumerate(rows)) + '\n')
    return str(path)


def scored(capsys, *arguments):
    assert main(['score', *map(str, arguments), '--json']) == 0
    out = capsys.readouterr().out
    assert out.count('\n') == 1
    return json.loads(out)


def refused(capsys, *arguments):
    assert main(['score', *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.count('\n') == 1
    return captured.err


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason='published predictions are not beside the checkout')
@pytest.mark.parametrize(
    'dataset, method, mean', [('nyu', 'srn', 7.788), ('nyu', 'deepprior', 20.750), ('icvl', 'srn', 6.271)]
)
def test_published_predictions_have_their_published_errors(capsys, dataset, method, mean):
    result = scored(
        capsys,
        '--dataset',
        dataset,
        '--truth',
        PUBLISHED / f'{dataset}_test_groundtruth_uvd.txt',
        '--predictions',
        PUBLISHED / f'{dataset}_test_{method}_uvd.txt',
    )
    assert result['mean_joint_error_mm'] == pytest.approx(mean, abs=0.002)
    if (dataset, method) == ('nyu', 'srn'):
        assert result['percent_within_mm']['20']['frames_by_worst_joint'] == pytest.approx(79.87, abs=0.005)
        assert result['frames'] == 8252


def test_the_commands_choices_are_those_declared():
    assert command.DATASETS == tuple(BENCHMARKS) and command.ALIGNMENTS == ALIGNMENTS


@pytest.mark.parametrize('dataset', ['nyu', 'icvl', 'msra', 'hands17'])
def test_formats_units_and_axes_are_found_out(capsys, tmp_path, dataset):
    """The same predictions, 5 mm off in x: as pixels and depth, as points in mm and m, with y up as the dataset's."""
    benchmark = find_benchmark(dataset)
    truth = hands(joints=len(benchmark.joints))
    moved = truth + (5, 0, 0)

    def uvd(points):
        return np.concatenate([benchmark.camera.project(points / 1000), points[..., 2:]], -1)

    true = write(tmp_path / 'truth.txt', uvd(truth))
    for name, values in {
        'uvd': uvd(moved),
        'xyz': moved,
        'meters': moved / 1000,
        'own': moved * benchmark.axes,
    }.items():
        result = scored(
            capsys, '--dataset', dataset, '--truth', true, '--predictions', write(tmp_path / f'{name}.txt', values)
        )
        # Four digits after the point are 0.1 mm in meters.
        assert result['mean_joint_error_mm'] == pytest.approx(5, abs=0.08 if name == 'meters' else 0.005), name
        assert result['format'].startswith('uvd, mm' if name == 'uvd' else 'xyz, m' if name == 'meters' else 'xyz, mm')


def test_of_all_annotated_joints_the_scored_ones_are_taken(capsys, tmp_path):
    every = hands(joints=36)
    selected = every[:, find_benchmark('nyu').source]
    result = scored(
        capsys,
        '--dataset',
        'nyu',
        '--truth',
        write(tmp_path / 'a.txt', every),
        '--predictions',
        write(tmp_path / 'b.txt', selected + (0, 0, 3)),
    )
    assert result['mean_joint_error_mm'] == pytest.approx(3, abs=1e-3)
    wrong = write(tmp_path / 'c.txt', selected[:, ::-1])
    result = scored(capsys, '--dataset', 'nyu', '--truth', str(tmp_path / 'a.txt'), '--predictions', wrong)
    assert result['mean_joint_error_mm'] > 30, 'another order of joints is not forgiven'


def test_files_of_every_format_are_read(capsys, tmp_path):
    truth = hands(joints=16)
    true = write(tmp_path / 'truth.txt', truth)
    commas = write(tmp_path / 'commas.csv', truth, separator=', ')
    numbered = write(tmp_path / 'numbered.txt', truth, names=[str(i) for i in range(6)], separator='\t')
    loose = tmp_path / 'loose.txt'
    loose.write_text('\n'.join(line + ' \t' for line in Path(true).read_text().splitlines()) + '\r\n\n\n')
    np.save(tmp_path / 'array.npy', truth)
    np.savez(tmp_path / 'arrays.npz', joints=truth.reshape(6, 48))
    result = scored(
        capsys,
        '--dataset',
        'icvl',
        '--truth',
        true,
        '--predictions',
        commas,
        numbered,
        loose,
        tmp_path / 'array.npy',
        tmp_path / 'arrays.npz',
    )
    assert set(result['methods']) == {'commas', 'numbered', 'loose', 'array', 'arrays'}
    assert all(one['mean_joint_error_mm'] < 1e-3 for one in result['methods'].values())


def test_frames_are_matched_by_name(capsys, tmp_path):
    truth = hands()
    names = [f'image_D{i:08d}.png' for i in range(6)]
    true = write(tmp_path / 'truth.txt', truth, names, '\t')
    order = [3, 1, 5, 0, 2, 4]
    shuffled = write(tmp_path / 'shuffled.txt', truth[order], [names[i] for i in order], '\t')
    assert (
        scored(capsys, '--dataset', 'hands17', '--truth', true, '--predictions', shuffled)['mean_joint_error_mm'] == 0
    )
    short = write(tmp_path / 'short.txt', truth[:4], names[:4], '\t')
    assert 'lacks 2 of 6' in refused(capsys, '--dataset', 'hands17', '--truth', true, '--predictions', short)


def test_our_own_results_and_freihands_files(capsys, tmp_path):
    truth = hands() / 1000
    (tmp_path / 'training_xyz.json').write_text(json.dumps(truth.tolist()))
    turned = 1.3 * truth @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
    (tmp_path / 'pred.json').write_text(json.dumps([turned.tolist(), np.zeros((6, 778, 3)).tolist()]))
    true = tmp_path / 'training_xyz.json'
    result = scored(capsys, '--dataset', 'freihand', '--truth', true, '--predictions', tmp_path / 'pred.json')
    assert result['align'] == 'procrustes' and result['mean_joint_error_mm'] < 1e-3
    lines = [
        {
            'frame': str(i),
            'hands': [
                {'side': 'left', 'score': s, 'joints': (truth[i] + s / 1000).tolist(), 'confidence': [1] * 21}
                for s in (0.2, 0.9)
            ],
        }
        for i in range(6)
    ]
    lines[2]['hands'] = []
    (tmp_path / 'hands.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    result = scored(
        capsys, '--dataset', 'freihand', '--align', 'none', '--truth', true, '--predictions', tmp_path / 'hands.jsonl'
    )
    assert result['mean_joint_error_mm'] == pytest.approx(0.9 * 3**0.5, abs=1e-3), 'the surest hand is taken'
    assert result['joints_missing'] == 21 and result['format'].startswith('xyz, m')


def test_our_joints_are_put_into_the_datasets_order(capsys, tmp_path):
    benchmark = find_benchmark('msra')
    ours = hands() / 1000
    (tmp_path / 'hands.jsonl').write_text(
        '\n'.join(
            json.dumps(
                {
                    'frame': str(i),
                    'hands': [{'side': 'right', 'score': 1, 'joints': one.tolist(), 'confidence': [1] * 21}],
                }
            )
            for i, one in enumerate(ours)
        )
    )
    truth = np.zeros_like(ours)
    for place, name in enumerate(benchmark.joints):
        truth[:, place] = ours[:, JOINTS.index(name)]
    result = scored(
        capsys,
        '--dataset',
        'msra',
        '--truth',
        write(tmp_path / 't.txt', 1000 * truth),
        '--predictions',
        tmp_path / 'hands.jsonl',
    )
    assert result['mean_joint_error_mm'] < 1e-3


def test_unknown_joints_and_the_center(capsys, tmp_path):
    truth = hands(joints=14)
    estimates = truth.copy()
    estimates[:, 13] += (0, 0, 14)
    estimates[0, 0] = np.nan
    files = (
        '--dataset',
        'nyu',
        '--truth',
        write(tmp_path / 't.txt', truth),
        '--predictions',
        write(tmp_path / 'p.txt', estimates),
    )
    result = scored(capsys, *files)
    assert result['mean_joint_error_mm'] == pytest.approx(6 * 14 / 83, abs=1e-3)
    assert result['mean_joint_error_without_center_mm'] == 0 and result['joints_missing'] == 1
    assert result['per_joint_error_mm']['palm_center'] == pytest.approx(14, abs=1e-3)
    without = scored(capsys, *files, '--without-center', '--thresholds', 5, 15)
    assert without['mean_joint_error_mm'] == 0 and 'palm_center' not in without['per_joint_error_mm']
    assert set(without['percent_within_mm']) == {'5', '15'}
    curve = without['curves']['frames_by_worst_joint']
    assert all(a <= b for a, b in zip(curve, curve[1:]))


def test_what_does_not_fit_is_refused_by_name(capsys, tmp_path):
    truth = write(tmp_path / 'truth.txt', hands())
    base = '--dataset', 'msra', '--truth', truth, '--predictions'
    assert 'absent.txt: No such file' in refused(capsys, *base, tmp_path / 'absent.txt')
    assert '5 frames' in refused(capsys, *base, write(tmp_path / 'few.txt', hands(5)))
    assert '14 joints a frame; MSRA has 21' in refused(capsys, *base, write(tmp_path / 'j.txt', hands(joints=14)))
    cut = tmp_path / 'cut.txt'
    cut.write_text(Path(truth).read_text()[:-40])
    assert 'cut.txt, line 6' in refused(capsys, *base, cut)
    cut.write_text(Path(truth).read_text().replace('600', 'six', 1).replace('59', 'x', 1))
    assert 'is not a number' in refused(capsys, *base, cut)
    (tmp_path / 'bad.npz').write_bytes(b'PK nonsense')
    assert 'bad.npz' in refused(capsys, *base, tmp_path / 'bad.npz')
    (tmp_path / 'bad.json').write_text('[[1, 2')
    assert 'cut off' in refused(capsys, *base, tmp_path / 'bad.json')
    assert 'nothing to score' in refused(capsys, '--dataset', 'nyu')
    assert 'both are needed' in refused(capsys, '--dataset', 'nyu', '--masks', tmp_path)
    assert '--names' in refused(capsys, *base, truth, '--names', 'a', 'b')
    assert 'no camera common' in refused(
        capsys, '--dataset', 'rhd', '--format', 'uvd', '--truth', truth, '--predictions', truth
    )


@pytest.mark.parametrize(
    ('name', 'content', 'words'),
    [
        ('a.txt', b'', 'holds no frame'),
        ('a.txt', b'\r\n\r\n', 'holds no frame'),
        ('a.jsonl', b'\n', 'holds no frame'),
        ('a.json', b'[]', 'holds no frame'),
        ('a.json', b'[[], []]', 'holds no point'),
        ('a.json', b'[[], [[[1, 2, 3]]]]', 'frames differ in their number of joints'),
        ('a.json', b'[[[]], [[]]]', 'holds no point'),
        ('a.npy', np.zeros((0, 21, 3)), 'holds no frame'),
        ('a.npy', np.zeros((2, 0, 3)), 'holds no point'),
        ('a.npy', np.zeros((2, 21, 3), complex), 'neither real numbers nor text'),
        ('a.npy', np.zeros((2, 21, 3), 'M8[s]'), 'neither real numbers nor text'),
        ('a.npy', np.full((2, 21, 3), '1'), 'something else than real numbers'),
    ],
)
def test_files_without_a_frame_or_without_numbers_are_refused_by_name(name, content, words, tmp_path):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        np.save(tmp_path / name, content)
    for read in (read_labels, read_vertices) if name in ('a.json', 'a.npy') else (read_labels,):
        with pytest.raises(LabelError, match=words) as caught:
            read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and 'IndexError' not in str(caught.value)


def test_frames_of_one_name_are_refused(capsys, tmp_path):
    names = list('abcdef')
    once = write(tmp_path / 'once.txt', hands(), names)
    base = '--dataset', 'msra', '--truth', once, '--predictions'
    assert scored(capsys, *base, write(tmp_path / 'turned.txt', hands()[::-1], names[::-1]))['mean_joint_error_mm'] == 0
    twice = write(tmp_path / 'twice.txt', hands(7), [*names, 'c'])
    assert 'twice.txt has 2 frames of the name c' in refused(capsys, *base, twice)
    same = write(tmp_path / 'same.txt', hands(), 'aacdef')
    assert 'same.txt has 2 frames of the name a' in refused(
        capsys, '--dataset', 'msra', '--truth', same, '--predictions', once
    )
    # Names that the truth does not have are no names of its frames.
    assert scored(capsys, *base, write(tmp_path / 'other.txt', hands(), 'xxxxxx'))['mean_joint_error_mm'] == 0


def test_meshes_have_few_vertices(tmp_path):
    np.save(tmp_path / 'v.npy', np.zeros((1, 20_001, 3), bool))
    with pytest.raises(LabelError, match=r'v\.npy has 20001 vertices a mesh; at most 20000'):
        read_vertices(tmp_path / 'v.npy')


def test_masks_and_meshes(capsys, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ('true', 'found'):
        (tmp_path / folder).mkdir()
    mask = np.zeros((20, 20), np.uint8)
    mask[:10] = 255
    other = np.zeros_like(mask)
    other[5:15] = 1
    cv2.imwrite(str(tmp_path / 'true' / '0.png'), mask)
    cv2.imwrite(str(tmp_path / 'found' / '0.png'), other)
    vertices = rng.normal(0, 0.04, (2, 50, 3))
    np.save(tmp_path / 'v.npy', vertices)
    np.savez(tmp_path / 'w.npz', vertices=1000 * vertices + (3, 0, 0))
    masks = '--masks-truth', tmp_path / 'true', '--masks', tmp_path / 'found'
    result = scored(
        capsys, '--dataset', 'rhd', *masks, '--meshes-truth', tmp_path / 'v.npy', '--meshes', tmp_path / 'w.npz'
    )
    assert result['masks'] == {'frames': 1, 'iou': 0.3333, 'precision': 0.5, 'recall': 0.5, 'f1': 0.5}
    assert result['meshes']['mean_vertex_error_mm'] == pytest.approx(3, abs=1e-3)
    assert result['meshes']['aligned_vertex_error_mm'] < 1e-3 and result['meshes']['f_5'] == 1
    cv2.imwrite(str(tmp_path / 'true' / '1.png'), mask)
    assert '1.png: No such file' in refused(capsys, '--dataset', 'rhd', *masks)


def test_plots_and_the_table(capsys, tmp_path):
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    truth = hands(joints=14)
    a, b = write(tmp_path / 'a.txt', truth + 4), write(tmp_path / 'b.txt', truth - 9)
    assert (
        main(
            [
                'score',
                '--dataset',
                'nyu',
                '--truth',
                write(tmp_path / 't.txt', truth),
                '--predictions',
                a,
                b,
                '--names',
                'near',
                'a$\\foo$\x1b[31m',
                '--plots',
                str(tmp_path / 'plots'),
            ]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert 'a$\\foo$\\x1b[31m: 6 frames' in text, 'no formula, and no color for the terminal'
    assert 'near: 6 frames' in text and '6.928 mm' in text and 'pinky_tip' in text
    for name in ('per_joint', 'success_worst', 'success_mean', 'pck'):
        picture = cv2.imread(str(tmp_path / 'plots' / f'{name}.png'))
        assert picture.shape[0] > 400 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20

"""The package, for colcon (ament_python) and for pip; name, version and the like come from package.xml."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

manifest = ElementTree.parse('package.xml').getroot()
name = manifest.findtext('name')
share = Path('share', name)


def tree(folder):
    """Return the data files of ``folder`` and of every folder in it, to be installed under the share folder."""
    files = {}
    for path in sorted(Path(folder).rglob('*')):
        if path.is_file() and '__pycache__' not in path.parts:
            files.setdefault(str(share / path.parent), []).append(str(path))
    return list(files.items())


setup(
    name=name,
    version=manifest.findtext('version'),
    description=' '.join(manifest.findtext('description').split()),
    maintainer=manifest.findtext('maintainer'),
    maintainer_email=manifest.find('maintainer').get('email'),
    license=manifest.findtext('license'),
    packages=find_packages(include=[name, f'{name}.*']),
    python_requires='>=3.10,<3.15',
    # What pip brings where nothing else does. ROS 2 is not among it: `make setup` installs that, with the pins.
    install_requires=[
        'numpy',
        'opencv-python-headless',
        'PyYAML',
        'transforms3d',
        'openvino',
        'onnxruntime',
        'rosbags',
    ],
    extras_require={
        'test': ['pytest', 'hypothesis'],
        'plots': ['matplotlib'],
        'view': ['rerun-sdk>=0.39,<0.42'],
        # Young, and its module was renamed once: only this version is known to work.
        'retargeting': ['dexi-rs==0.4.1'],
        # NVIDIA's GPUs, see docs/engines.md. Both replace onnxruntime, which must be uninstalled before; this one is
        # linked with TensorRT 10.
        'tensorrt': ['onnxruntime-gpu[cuda,cudnn]==1.31.1', 'tensorrt-cu13-libs==10.16.1.11'],
        'cuda': ['onnxruntime-gpu[cuda,cudnn]==1.31.1', 'onnx==1.23.2'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{name}']),
        (str(share), ['package.xml']),
        *tree('launch'),
        *tree('config'),
        *tree('models'),
        *tree('demo'),
    ],
    entry_points={
        'console_scripts': [
            'hand-pose = hand_pose_ros.cli.main:main',
            'tracker = hand_pose_ros.nodes.tracker:main',
            'playback = hand_pose_ros.nodes.playback:main',
            'retarget = hand_pose_ros.nodes.retarget:main',
            'teleop = hand_pose_ros.nodes.teleop:main',
            'hri = hand_pose_ros.nodes.hri:main',
        ],
    },
    zip_safe=False,
)

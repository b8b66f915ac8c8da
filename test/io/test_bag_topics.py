"""Which topics of a bag are read, and which CameraInfo belongs to them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from hand_pose_ros.io.bag import COMPRESSED_IMAGE, IMAGE
from hand_pose_ros.io.bag_topics import choose, choose_info, describe, list_topics
from hand_pose_ros.io.frame import RecordingError

PATH = Path('bag')


def image(topic, encoding='16UC1', frame='cam'):
    header = SimpleNamespace(frame_id=frame)
    return describe(topic, IMAGE, 3, SimpleNamespace(header=header, encoding=encoding, width=32, height=24))


def packed(topic, form, data=b''):
    message = SimpleNamespace(header=SimpleNamespace(frame_id='cam'), format=form, data=data)
    return describe(topic, COMPRESSED_IMAGE, 3, message)


def info(frame='cam', size=(32, 24), binning=0):
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    header = SimpleNamespace(frame_id=frame)
    return SimpleNamespace(header=header, width=size[0], height=size[1], binning_x=binning, binning_y=binning, roi=roi)


@pytest.mark.parametrize(
    'topic, encoding, modality',
    [
        ('/camera/depth/image_rect_raw', '16UC1', 'depth'),
        ('/zed/depth/depth_registered', '32FC1', 'depth'),
        ('/zed/confidence/confidence_map', '32FC1', 'another quantity'),
        ('/blaze/depth/intensity', 'mono16', 'another quantity'),
        ('/camera/mask/image', 'mono16', 'another quantity'),
        ('/camera/mask/depth', '16UC1', 'depth'),
        ('/stereo/disparity', '32FC1', 'another quantity'),
        ('/camera/confidence/image', 'mono8', 'another quantity'),
        ('/denoised/depth', '16UC1', 'depth'),
        ('/camera/mask/color', 'bgr8', 'color'),
        ('/camera/infra1/image_rect_raw', 'mono8', 'infrared'),
        ('/ir/depth', '16UC1', 'depth'),
        ('/camera/color/image_raw', 'bgr8', 'color'),
        ('/camera/depth/image', '64FC1', ''),
    ],
)
def test_a_name_and_an_encoding_say_what_images_are_of(topic, encoding, modality):
    assert image(topic, encoding).modality == modality


@pytest.mark.parametrize('form, modality', [('jpeg', 'color'), ('h264', ''), ('hevc', ''), ('rgb8; jpeg', 'color')])
def test_single_messages_of_a_video_are_no_pictures(form, modality):
    assert packed('/camera/color/compressed', form).modality == modality


def test_other_quantities_are_read_where_they_are_asked_for():
    depth, confidence = image('/zed/depth_registered', '32FC1'), image('/zed/confidence_map', '32FC1')
    assert choose(PATH, [confidence, depth], None, ('depth', 'color')) == depth
    assert choose(PATH, [confidence, depth], 'zed/confidence_map', ('depth',)).modality == 'depth'
    assert choose(PATH, [image('/mask', 'mono8')], '/mask', ('depth', 'color')).modality == 'color'


@pytest.mark.parametrize(
    'topics, modalities, words',
    [
        ([image('/infra1', 'mono8')], ('depth', 'color'), '/infra1 .infrared, mono8, 3 images.*--topic /infra1 reads'),
        ([image('/infra1', 'mono8')], ('depth',), '--modality|read are'),
        ([image('/depth')], ('color',), 'no image topic is of color.*--modality depth reads /depth'),
        ([image('/depth', '64FC1')], ('depth', 'color'), '64FC1.*read are sensor_msgs/msg/Image.*16UC1'),
        ([packed('/color', 'h264')], ('depth', 'color'), 'not supported, h264.*JPEG'),
    ],
)
def test_where_nothing_is_usable_the_error_names_what_there_is_and_what_to_do(topics, modalities, words):
    with pytest.raises(RecordingError, match=words):
        choose(PATH, topics, None, modalities)


def test_topics_are_listed_with_their_types_and_not_without_end():
    connections = [SimpleNamespace(topic=f'/t{n}', msgtype='foxglove.RawImage', msgcount=1) for n in range(30)]
    assert list_topics(connections).startswith('/t0 (foxglove.RawImage), /t1')
    assert list_topics(connections).endswith('and 10 more')
    assert list_topics([]) == 'no messages'


@pytest.mark.parametrize(
    'infos, expected',
    [
        ({'/camera/camera_info': info()}, '/camera/camera_info'),
        ({'/camera/camera_info': info('color'), '/camera/depth_camera_info': info()}, '/camera/depth_camera_info'),
        (
            {'/camera/camera_info': info('color'), '/camera/depth_camera_info': info('/cam')},
            '/camera/depth_camera_info',
        ),
        ({'/camera/camera_info': info(size=(64, 48)), '/camera/own': info()}, '/camera/own'),
        ({'/camera/camera_info': info(size=(64, 48), binning=2), '/b/camera_info': info()}, '/camera/camera_info'),
        ({'/camera/camera_info': info('', (0, 0)), '/b/camera_info': info()}, '/camera/camera_info'),
        ({'/camera/camera_info': info('color')}, '/camera/camera_info'),
        ({'/camera/rgb_info': info(), '/camera/depth_info': info()}, '/camera/depth_info'),
        ({'/left/info': info(), '/right/info': info()}, ''),
        ({'/left/info': info('other')}, ''),
    ],
)
def test_the_camera_info_of_the_images_frame_and_size_goes_before_that_beside_it(infos, expected):
    topic, note = choose_info(image('/camera/depth_image'), infos)
    assert topic == expected
    assert bool(note) == (topic != '/camera/camera_info'), 'what is guessed is said'

"""Writer of `deployments/assets/vocabulary/words.tsv`: words -> ImageNet classes, by WordNet's is-a relation.

    python -m bench.tools.tag_words --wordnet /usr/share/wordnet

needs the folder of WordNet 3.0's database files (Debian: package `wordnet-base`). A word stands for every class at or
under its synset, so "spaniel" is seven classes, and a picture of one of them is one of a spaniel without any guess. A
word counts in its most frequent sense only: "kite" is not the bird. What that rule gets wrong is listed by hand below.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from deployments.algorithms.tags.vocabulary import DATA, class_ranges, normalise

GENERAL = """
    abstract entity; accessory; adornment; afters; analog computer; analogue computer; anapsid; angiosperm;
    animate being; animate thing; apparatus; applicator; artefact; artifact; artificial satellite; associate;
    attire; autoloader; automatic; barrier; bars; beast; being; berry; blower; board; brace; breathing device;
    building complex; calculating machine; carnivore; causal agency; causal agent; chordate; chordophone; cleaning
    device; cleaning implement; cloth covering; coin machine; commodity; communication system; compeer; component
    part; computing device; computing machine; concoction; condiment; connecter; connector; consumer durables;
    consumer goods; container; contestant; control surface; converging lens; correctional institution; cover;
    craniate; cutting implement; data input device; data processor; decoration; defensive structure; device;
    diapsid; dispenser; drop; drug; drug of abuse; drygoods; durable goods; durables; dutch oven; edge tool;
    electrical device; electro acoustic transducer; electronic device; electronic equipment; elevation; emblem;
    emollient; entanglement; entity; entree; equal; equipment; equipment casualty; eutherian; eutherian mammal;
    explorer; fabric; fastening; feed; filter; fixed disk; fixings; flat solid; flavorer; flavoring; flavourer;
    flavouring; floor cover; fluid; food nutrient; forte piano; fungus; game equipment; gate; geographic point;
    geographical point; geological formation; globule; gnawer; grating; green goods; heater; holdfast; home
    appliance; horizontal surface; hose; housing; impedimenta; implement; individual; information processing
    system; input device; instrument; instrument of execution; instrumentation; intermixture; intoxicant; jack;
    judge s robe; landing place; lens; lens system; lense; lever; lifting device; liquid; living accommodations;
    living thing; location; lodging; lounge; luscinia megarhynchos; machine; mag; magazine; main course; mammal;
    mammalian; material; measuring device; measuring instrument; measuring system; mechanical device; medium;
    memory device; mercantile establishment; metatherian; mortal; movable barrier; natural depression; natural
    elevation; natural object; nightingale; nourishment; nutrient; nutriment; object; obstruction; opossum;
    optical device; organism; ornament; outlet; outpouring; padding; paper; paraphernalia; part; participant;
    peer; physical entity; physical object; piece; piece of cloth; piece of material; piece of work; placental;
    placental mammal; plant; plant life; plant organ; plant part; plant structure; platform; player; pool;
    portion; press; produce; protective cover; protective covering; protective garment; prototherian; public
    press; publication; pud; rack; receptacle; red hot; reflector; relation; reproducer; reproductive structure;
    rescue equipment; rig; rod; rotating mechanism; round shape; sales outlet; satellite; scientific instrument;
    seasoning; seed; setup; sheath; shelter; signal; signaling; signaling device; simple machine; site; soft
    goods; solid; solid food; somebody; someone; source of illumination; staff of life; starches; stick; storage
    device; street drug; strengthener; structural member; structure; stuff; substance; support; supporting
    structure; surface; sustenance; system; textile; toiletry; trade good; transducer; transport; trap; trouser;
    upright; vascular plant; vertebrate; visual signal; ware; warmer; woman's clothing; workplace; works; wrapping
"""
"""Words above the classes that say nothing about an image, or that everyday speech uses for something else."""

OTHER_SENSE = """
    admiral; aegis; ai; anemone; barrow; bath; beam; bearskin; binder; board; bob; bobtail; bow; boxer; brass;
    bruin; bullet; bulwark; cairn; capitulum; capuchin; cardigan; carrier; catamount; cell; chopper; chow;
    cimarron; claw; coach; comfort; comforter; commode; corn; crane; darning needle; dipper; dock; dockage; drake;
    drop; drop off; drumstick; ear; essence; file; fireguard; goldfinch; grand; groin; grunter; guard dog; hack;
    head; helix; hip; hook; hopper; horn; howler; jack; jay; jersey; kelpie; killer; kite; knot; light; liner;
    lolly; mail; maltese; man eater; market; mole; monarch; monitor; mortar; mouse; muzzle; napkin; nightingale;
    nipple; notebook; nursery; organ; ounce; packet; painter; patch; pick; pirate; pirate ship; pitcher; plane;
    plaque; plunger; press; puff; racer; reaper; reel; ringlet; ringtail; rocker; rubber; rule; ruler; sabot;
    scale; scope; screen; semi; sewing needle; sleuthhound; slot; slug; snowbird; sorrel; speaker; spike; spindle;
    spiral; spot; spotlight; squealer; stage; stole; stretcher; sub; swab; sweet potato; swing; tandem; taper;
    tick; titi; torpedo; trump; tub; two piece; upright; vacuum; vat; vault; velocipede; volute; waggon; wagon;
    whirligig; whorl; wing; wireless; wrecker
"""
"""Names of single classes that people use for something else first."""

EXCLUDED = frozenset(" ".join(word.split()) for word in f"{GENERAL};{OTHER_SENSE}".split(";"))


class WordNet:
    """Nouns of WordNet's database files: synset offset -> words and hypernyms, word -> its first synset."""

    def __init__(self, folder: Path) -> None:
        self.words: dict[str, list[str]] = {}
        self.hypernyms: dict[str, list[str]] = {}
        self.first_synset: dict[str, str] = {}
        for line in _records(folder / "data.noun"):
            fields = line.split(" | ")[0].split()
            words = int(fields[3], 16)
            pointers = fields[5 + 2 * words :]
            self.words[fields[0]] = fields[4 : 4 + 2 * words : 2]
            self.hypernyms[fields[0]] = [
                pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i][0] == "@"
            ]
        for line in _records(folder / "index.noun"):
            fields = line.split()
            self.first_synset[fields[0]] = fields[-int(fields[2])]

    def ancestors(self, synset: str) -> set[str]:
        """List the synset and all synsets above it."""
        found, waiting = set(), [synset]
        while waiting:
            if (current := waiting.pop()) not in found:
                found.add(current)
                waiting += self.hypernyms[current]
        return found


def _records(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith(" ")]


def class_words(wordnet: WordNet, synsets: list[str]) -> dict[str, list[int]]:
    """Map normalised words at or above a class to sorted class numbers."""
    below: dict[str, set[int]] = defaultdict(set)
    for number, synset in enumerate(synsets):
        for ancestor in wordnet.ancestors(synset):
            below[ancestor].add(number)
    leaves = set(synsets)
    classes: dict[str, set[int]] = defaultdict(set)
    for synset, numbers in below.items():
        for word in wordnet.words[synset]:
            is_main_sense = wordnet.first_synset[word.lower()] == synset
            phrase = normalise(word)
            if (is_main_sense or synset in leaves) and phrase not in EXCLUDED:
                classes[phrase] |= numbers
    return {phrase: sorted(numbers) for phrase, numbers in sorted(classes.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun and index.noun")
    folder: Path = parser.parse_args().wordnet
    synsets = [line.split(" ", 1)[0][1:] for line in (DATA / "imagenet.txt").read_text().splitlines()[1:]]
    words = class_words(WordNet(folder), synsets)
    lines = ["# Made by `python -m bench.tools.tag_words`: word, ImageNet classes at or under its WordNet synset."]
    lines += [f"{word}\t{class_ranges(numbers)}" for word, numbers in words.items()]
    (DATA / "words.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

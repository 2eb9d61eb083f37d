"""The classes of published benchmarks, in the order of their labels, as readable words.

A model that reads or writes language gets these words. They are those of the publishers, with
slashes and brackets resolved, and with evident slips mended.
"""

NTU = tuple(
    """\
drink water
eat a meal or snack
brush teeth
brush hair
drop something
pick up something
throw something
sit down
stand up from sitting position
clap
read
write
tear up paper
put on a jacket
take off a jacket
put on a shoe
take off a shoe
put on glasses
take off glasses
put on a hat or cap
take off a hat or cap
cheer up
wave a hand
kick something
reach into a pocket
hop on one foot
jump up
make or answer a phone call
play with a phone or tablet
type on a keyboard
point to something with a finger
take a selfie
check the time on a watch
rub two hands together
nod the head or bow
shake the head
wipe the face
salute
put the palms together
cross hands in front to say stop
sneeze or cough
stagger
fall
touch the head because of a headache
touch the chest because of stomachache or heart pain
touch the back because of a backache
touch the neck because of a neckache
feel nausea or vomit
use a fan or feel warm
punch or slap another person
kick another person
push another person
pat another person on the back
point a finger at another person
hug another person
give something to another person
touch another person's pocket
shake hands
walk towards each other
walk apart from each other
put on headphones
take off headphones
shoot at the basket
bounce a ball
swing a tennis bat
juggle table tennis balls
make a hush sign
flick the hair
thumb up
thumb down
make an ok sign
make a victory sign
staple a book
count money
cut nails
cut paper with scissors
snap fingers
open a bottle
sniff or smell
squat down
toss a coin
fold paper
ball up paper
play with a magic cube
apply cream on the face
apply cream on the back of the hand
put on a bag
take off a bag
put something into a bag
take something out of a bag
open a box
move heavy objects
shake a fist
throw up a cap or hat
put both hands up
cross arms
circle the arms
swing the arms
run on the spot
kick backward
cross toe touch
kick to the side
yawn
stretch oneself
blow the nose
hit another person with something
wield a knife towards another person
knock over another person with the body
grab another person's stuff
shoot at another person with a gun
step on another person's foot
high-five
cheers and drink
carry something with another person
take a photo of another person
follow another person
whisper in another person's ear
exchange things with another person
support somebody with a hand
play rock-paper-scissors
""".splitlines()
)
"""A1 to A120 of NTU RGB+D 120, whose first 60 are those of NTU RGB+D.

Of the list in https://github.com/shahroudy/NTURGB-D, which has "brushing teeth" and "pickup" where
this has "brush teeth" and "pick up something": all are commands here.
"""

UAV_HUMAN = tuple(
    """\
drink
eat snacks
brush hair
drop something
pick up something
throw away something
sit down
stand up
applaud
read
write
put on a coat
take off a coat
put on glasses
take off glasses
put on a hat
take off a hat
throw away a hat
cheer
wave hands
kick something
reach into pockets
jump on single leg
jump on two legs
make a phone call
play with cell phones
point somewhere
look at the watch
rub hands
bow
shake head
salute
cross palms together
cross arms in front to say no
wear headphones
take off headphones
make a shh sign
touch the hair
thumb up
thumb down
make an OK sign
make a victory sign
punch with fists
snap fingers
open the bottle
smell
squat
apply cream to face
apply cream to hands
grasp a bag
put down a bag
put something into a bag
take something out of a bag
open a box
move a box
put up hands
put hands on hips
wrap arms around
shake arms
step on the spot
kick aside
kick backward
cough
sneeze
yawn
blow nose
stagger
headache
chest discomfort
backache
neckache
vomit
use a fan
stretch body
punch someone
kick someone
push someone
slap someone on the back
point at someone
hug
give something to someone
steal something from someone's pocket
rob something from someone
shake hands
walk toward someone
walk away from someone
hit someone with something
threaten someone with a knife
bump into someone
walk side by side
high five
drink a toast
move something with someone
take a photo for someone
stalk someone
whisper in someone's ear
exchange something with someone
lend an arm to support someone
rock-paper-scissors
hover
land
land at designated locations
move forward
move backward
move left
move right
ascend
descend
accelerate
decelerate
come over here
stay where you are
rear right turn
rear left turn
abandon landing
all clear
not clear
have command
follow me
turn left
turn right
throw litter
dig a hole
mow
set on fire
smoke
cut the tree
fish
pick a lock
pollute walls
hold someone hostage
threaten someone with a gun
wave goodbye
chase someone
comfort someone
drag someone
sweep the floor
mop the floor
bounce the ball
shoot at the basket
swing the racket
press legs
escape to survive
call for help
wear a mask
take off a mask
bend arms around someone's shoulder
run
stab someone with a knife
throw a frisbee
carry a carrying pole
use a lever to lift something
walk
open an umbrella
close an umbrella
""".splitlines()
)
"""A000 to A154 of UAV-Human, of the list in https://github.com/sutdcv/UAV-Human."""

SMARTHOME = {
    "Cook.Cleandishes": "clean dishes",
    "Cook.Cleanup": "clean up after cooking",
    "Cook.Cut": "cut food",
    "Cook.Stir": "stir food",
    "Cook.Usestove": "use the stove",
    "Cutbread": "cut bread",
    "Drink.Frombottle": "drink from a bottle",
    "Drink.Fromcan": "drink from a can",
    "Drink.Fromcup": "drink from a cup",
    "Drink.Fromglass": "drink from a glass",
    "Eat.Attable": "eat at the table",
    "Eat.Snack": "eat a snack",
    "Enter": "enter",
    "Getup": "get up",
    "Laydown": "lie down",
    "Leave": "leave",
    "Makecoffee.Pourgrains": "pour grains to make coffee",
    "Makecoffee.Pourwater": "pour water to make coffee",
    "Maketea.Boilwater": "boil water to make tea",
    "Maketea.Insertteabag": "insert a tea bag",
    "Pour.Frombottle": "pour from a bottle",
    "Pour.Fromcan": "pour from a can",
    "Pour.Fromkettle": "pour from a kettle",
    "Readbook": "read a book",
    "Sitdown": "sit down",
    "Takepills": "take pills",
    "Uselaptop": "use a laptop",
    "Usetablet": "use a tablet",
    "Usetelephone": "use a telephone",
    "Walk": "walk",
    "WatchTV": "watch TV",
}
"""{name in the files of Toyota Smarthome: words}, the 31 classes of its cross-subject protocol.

Of _name_to_int in https://github.com/srijandas07/LSTM_action_recognition.
"""

SMARTHOME_CV = tuple(
    "Cutbread Drink.Frombottle Drink.Fromcan Drink.Fromcup Drink.Fromglass Eat.Attable Eat.Snack "
    "Enter Getup Leave Pour.Frombottle Pour.Fromcan Readbook Sitdown Takepills Uselaptop Usetablet "
    "Usetelephone Walk".split()
)
"""The 19 classes of its cross-view protocols; clips of the others are left out of them."""

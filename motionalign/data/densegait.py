"""The 42 attributes of DenseGait, which its reader and models trained on it share.

https://github.com/cosmaadrian/gaitformer, datasets/uwg_features.py
"""

ATTRIBUTES = {
    "gender": {"Female": "female"},
    "body": {"BodyThin": "slim", "BodyNormal": "normal weight", "BodyFat": "overweight"},
    "viewpoint": {
        "Front": "seen from the front",
        "Side": "seen from the side",
        "Back": "seen from the back",
    },
    "age-group": {
        "AgeChild": "child",
        "AgeYoungAdult": "young adult",
        "AgeMediumAdult": "middle-aged adult",
        "AgeOldAdult": "older adult",
        "AgeSenior": "senior",
    },
    "accessory": {
        "Backpack": "backpack",
        "Bag": "bag",
        "HandTrunk": "hand trunk",
        "No accessory": "no accessory",
        "OtherAttchment": "other attachment",
        "No carrying": "carrying nothing",
    },
    "footware": {
        "Sandals": "sandals",
        "Shoes": "shoes",
        "LeatherShoes": "leather shoes",
        "SportShoes": "sport shoes",
        "Boots": "boots",
        "Sneaker": "sneakers",
        "ClothShoes": "cloth shoes",
    },
    "apparent-action": {
        "Calling": "making a phone call",
        "Talking": "talking",
        "Gathering": "gathering with others",
        "Holding": "holding something",
        "Pulling": "pulling something",
        "CarryingbyArm": "carrying something by the arm",
        "CarryingbyHand": "carrying something by hand",
        "HoldObjectsInFront": "holding objects in front",
    },
    "clothing": {
        "CasualWear": "casual wear",
        "Jacket": "jacket",
        "FormalWear": "formal wear",
        "LongTrousers": "long trousers",
        "CarryingOther": "carrying something else",
        "Dress": "dress",
        "LongCoat": "long coat",
        "Trousers": "trousers",
        "LongSleeve": "long sleeves",
    },
}
"""{group: {column of its table: name in captions, queries and classes}}."""

/* SPDX-License-Identifier: Apache-2.0 */
/* The words that synthetic file names and tags are made of, and the queries that look for them. */
#ifndef FA_BENCH_WORDS_H
#define FA_BENCH_WORDS_H

static const char *const words[] = {
        "apple",    "arch",   "autumn", "baby",   "ball",   "beach",   "bear",     "bicycle", "bird",     "blue",
        "boat",     "bottle", "bread",  "bridge", "bright", "brown",   "bus",      "cake",    "candle",   "car",
        "castle",   "cat",    "chair",  "cheese", "child",  "church",  "city",     "cloud",   "coast",    "coffee",
        "cow",      "dance",  "dark",   "deer",   "desert", "dog",     "door",     "dress",   "duck",     "eagle",
        "evening",  "family", "farm",   "field",  "fire",   "fish",    "flag",     "flower",  "forest",   "fox",
        "fruit",    "garden", "glass",  "goat",   "gold",   "grass",   "green",    "guitar",  "harbour",  "hat",
        "hill",     "horse",  "house",  "ice",    "island", "kitchen", "lake",     "lamp",    "leaf",     "lemon",
        "light",    "lion",   "man",    "market", "meadow", "monkey",  "moon",     "morning", "mountain", "mouse",
        "mushroom", "night",  "ocean",  "old",    "orange", "owl",     "painting", "palm",    "park",     "party",
        "path",     "phone",  "piano",  "plane",  "plate",  "purple",  "rabbit",   "rain",    "red",      "river",
        "road",     "rock",   "rose",   "sand",   "sea",    "sheep",   "ship",     "shoe",    "sky",      "small",
        "snow",     "spring", "star",   "stone",  "storm",  "street",  "summer",   "sun",     "table",    "tower",
        "train",    "tree",   "valley", "water",  "white",  "window",  "winter",   "yellow",
};

#endif

package com.google.mediapipe.framework.image

import android.graphics.Bitmap

class MPImage(val picture: Bitmap)

class BitmapImageBuilder(private val picture: Bitmap) {
    fun build() = MPImage(picture)
}
